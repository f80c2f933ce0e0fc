"""FHiCL, module base classes, the event, paths and schedule, services, provenance."""
