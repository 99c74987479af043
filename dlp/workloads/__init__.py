"""Who runs where: network namespaces and cgroups."""
