"""The Python interface: what ``meshtune`` exports and the command line uses."""
