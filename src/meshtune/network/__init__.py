"""Who hears whom over the air, and what it costs: places, gains, clusters, links, a virtual clock."""
