"""Who hears whom over the air and what it costs: positions, gains, clusters, links, a virtual clock."""
