"""What crosses between devices: the payload format and the byte ledger."""
