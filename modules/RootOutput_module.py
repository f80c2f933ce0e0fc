"""Events to a ROOT file of our own layout."""

from typing import Literal

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, InputFile, ModuleContext, Output, Run, SubRun, parameter
from larmlreco.framework.event import DataView
from larmlreco.io.layout import TREES, Process
from larmlreco.io.reader import EventInfo
from larmlreco.io.root_reader import provenance_of
from larmlreco.io.root_writer import HIGHEST_LEVEL, RootWriter, check_output_path
from larmlreco.products import Product, ProductKey
from larmlreco.version import __version__


class RootOutput(Output):
    """Events, subruns and runs to a ROOT file, with what made them.

    A column of a product is a branch ``<Type>_<label>_<instance>_<process>.<column>`` of the tree ``Events``. The file
    is ``<fileName>.partial`` until the job is over. To merge files, give them to one job: ``hadd`` does not know what
    lies beside the trees.
    """

    class Parameters(Output.Parameters):
        """Parameters."""

        compression: Literal["zstd", "lz4", "zlib", "lzma", "none"] = parameter(
            "zstd", doc="algorithm; lz4 is the fastest, lzma the smallest"
        )
        compressionLevel: int = parameter(  # noqa: N815
            3, doc="level of the algorithm, higher is smaller and slower", minimum=1, maximum=22
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        super().__init__(config, context)
        self._config = config
        highest = HIGHEST_LEVEL[config.compression]
        if config.compressionLevel > highest:
            raise ConfigurationError(
                f"outputs.{context.label}.compressionLevel: {config.compressionLevel} is more than "
                f"{config.compression} has; valid: 1 to {highest}"
            )
        self._inputs: list[str] = []
        self._not_kept: dict[str, str] = {}
        self._writer: RootWriter | None = None

    def open(self) -> None:
        """Begin the file."""
        source = self.context.job.configuration.get("source", {})
        check_output_path(self.path, source.get("fileNames", []))
        self._writer = RootWriter(
            self.path,
            self._process(),
            compression=self._config.compression,
            compression_level=self._config.compressionLevel,
        )
        for production in self.context.job.produced:
            if self.selector.keeps(production.key):
                self._writer.declare([production.key], production.level)

    def input_opened(self, file: InputFile) -> None:
        """Take over what made the input, and warn of the products that cannot be kept."""
        check_output_path(self.path, [file.path])
        writer = self._opened()
        self._inputs.append(file.path)
        lost: dict[str, str] = {}
        for level in TREES:
            writer.declare(self.kept(file.keys(level)), level)
            lost |= {name: why for name, why in file.undecodable(level).items() if self._named(name)}
        if lost:
            names = "; ".join(f"{name} ({why})" for name, why in lost.items())
            self.log.warning("%s: not kept because it cannot be decoded: %s", file.path, names)
        self._not_kept |= lost
        writer.add_history(provenance_of(file))
        writer.update_process(self._process())

    def _named(self, branch: str) -> bool:
        """Whether ``outputCommands`` would keep a branch that cannot be decoded."""
        try:
            return self.selector.keeps(ProductKey.from_branch(branch.removesuffix(".")))
        except ValueError:
            return True

    def _process(self) -> Process:
        made = self.context.job.provenance
        return Process(
            made.process,
            __version__,
            made.configuration,
            made.configuration_sha256,
            made.versions,
            dict(made.models),
            tuple(self._inputs),
            dict(self._not_kept),
        )

    def _opened(self) -> RootWriter:
        if self._writer is None:
            raise RuntimeError(f"{self.path} is not open")
        return self._writer

    def _products(self, view: DataView) -> dict[ProductKey, Product]:
        found = ((key, view.read(key)) for key in self.kept(view.product_keys()))
        return {key: product for key, product in found if product is not None}

    def write(self, event: Event) -> None:
        """Write one event."""
        ids = (event.id.run, event.id.subrun, event.id.event)
        self._opened().write(ids, self._products(event), info=EventInfo(event.is_real_data, event.time))

    def write_subrun(self, subrun: SubRun) -> None:
        """Write a subrun that ended."""
        self._opened().write(subrun.id, self._products(subrun), "subrun")

    def write_run(self, run: Run) -> None:
        """Write a run that ended."""
        self._opened().write((run.id,), self._products(run), "run")

    def close(self, complete: bool) -> None:
        """Give the file its name, or leave ``<fileName>.partial``."""
        writer = self._opened()
        writer.update_process(self._process())
        if complete:
            writer.close()
            return
        partial = writer.abort()
        if partial is not None:
            self.log.warning("incomplete: what was written lies in %s", partial)
