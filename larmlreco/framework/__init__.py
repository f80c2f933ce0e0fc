"""FHiCL, module base classes, the event, paths and schedule, services, provenance."""

from larmlreco.framework.event import DeclarationError, Event, Principal, ProductNotFoundError, Run, SubRun
from larmlreco.framework.ids import EventID
from larmlreco.framework.module import (
    Analyzer,
    FileSource,
    Filter,
    InputFile,
    Job,
    Module,
    ModuleContext,
    Output,
    Producer,
    Service,
    Source,
)
from larmlreco.framework.parameters import ParameterSet, parameter

__all__ = [
    "Analyzer",
    "DeclarationError",
    "Event",
    "EventID",
    "FileSource",
    "Filter",
    "InputFile",
    "Job",
    "Module",
    "ModuleContext",
    "Output",
    "ParameterSet",
    "Principal",
    "Producer",
    "ProductNotFoundError",
    "Run",
    "Service",
    "Source",
    "SubRun",
    "parameter",
]
