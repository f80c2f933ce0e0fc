"""The process in which Geant4 runs: reads a world, then events, from its standard input and answers with pickles.

Only this file imports geant4_pybind. Units are Geant4's: mm, ns, MeV.
"""

import os
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

from larmlreco.simulation.geant import Shot, World

_ROUNDING = 1.001


def main() -> None:
    """Serve until the input ends."""
    # Geant4 writes to standard output and may ask on standard input, so the pipes move out of its reach.
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    world: World = pickle.load(requests)
    geant4 = _Geant4(world)
    _answer(answers, "ready")
    while True:
        try:
            shot: Shot = pickle.load(requests)
        except EOFError:
            break
        _answer(answers, geant4.track(shot))
    # Geant4's own objects outlive the interpreter badly, so no destructor runs.
    os._exit(0)


def _answer(stream: Any, what: Any) -> None:
    pickle.dump(what, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


class _Geant4:
    """The run manager, with plain lists that its callbacks append to."""

    def __init__(self, world: World) -> None:
        import geant4_pybind as g4

        self._g4 = g4
        self._steps: list[tuple[float, ...]] = []
        self._tracks: list[tuple[Any, ...]] = []
        # The run manager comes first: it defines the handler of Geant4's exceptions.
        self._manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.Serial)
        self._detector = _detector(g4, world, self._steps)
        self._physics = _physics(g4, world.cut)
        self._actions = _actions(g4, self._tracks)
        self._manager.SetUserInitialization(self._detector)
        self._manager.SetUserInitialization(self._physics)
        self._manager.SetUserInitialization(self._actions)
        self._manager.SetVerboseLevel(0)
        self._manager.Initialize()
        # A run without events builds the physics tables, so that missing data show before the first event.
        self._manager.BeamOn(0)

    def track(self, shot: Shot) -> tuple[Any, list[tuple[Any, ...]]]:
        """Steps (N, 10): start, end, time, energy, length, track; and tracks as tuples."""
        self._steps.clear()
        self._tracks.clear()
        self._actions.gun.primaries = shot.primaries
        self._g4.G4Random.setTheSeed(shot.seed)
        self._manager.BeamOn(1)
        return np.array(self._steps, dtype=np.float64).reshape(-1, 10), self._tracks


def _detector(g4: Any, world: World, steps: list[tuple[float, ...]]) -> Any:
    append = steps.append
    longest = world.step * _ROUNDING

    class Active(g4.G4VSensitiveDetector):  # type: ignore[misc]
        def ProcessHits(self, step: Any, _history: Any) -> bool:  # noqa: N802
            energy = step.GetTotalEnergyDeposit()
            if energy <= 0:
                return False
            before, after = step.GetPreStepPoint(), step.GetPostStepPoint()
            a, b = before.GetPosition(), after.GetPosition()
            time = (before.GetGlobalTime() + after.GetGlobalTime()) / 2
            length = step.GetStepLength()
            if length > longest:
                # Only neutral particles step so far: they free their energy at the end.
                a = b
            number = step.GetTrack().GetTrackID()
            append((a.x, a.y, a.z, b.x, b.y, b.z, time, energy, length, number))
            return True

    class Detector(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
        def Construct(self) -> Any:  # noqa: N802
            # The world is the argon itself, centred on the active volume: no other material needs data.
            argon = g4.G4NistManager.Instance().FindOrBuildMaterial("G4_lAr")
            bath = g4.G4LogicalVolume(g4.G4Box("argon", *world.argon), argon, "argon")
            self.world = g4.G4PVPlacement(None, g4.G4ThreeVector(), bath, "argon", None, False, 0)
            self.active = g4.G4LogicalVolume(g4.G4Box("active", *world.active), argon, "active")
            self.limits = g4.G4UserLimits(world.step)
            self.active.SetUserLimits(self.limits)
            self.place = g4.G4PVPlacement(None, g4.G4ThreeVector(), self.active, "active", bath, False, 0)
            return self.world

        def ConstructSDandField(self) -> None:  # noqa: N802
            self.sensitive = Active("active")
            g4.G4SDManager.GetSDMpointer().AddNewDetector(self.sensitive)
            self.SetSensitiveDetector(self.active, self.sensitive)

    return Detector()


def _actions(g4: Any, tracks: list[tuple[Any, ...]]) -> Any:
    append = tracks.append

    class Tracking(g4.G4UserTrackingAction):  # type: ignore[misc]
        def PreUserTrackingAction(self, track: Any) -> None:  # noqa: N802
            at = track.GetPosition()
            creator = track.GetCreatorProcess()
            append(
                (
                    track.GetTrackID(),
                    track.GetDefinition().GetPDGEncoding(),
                    track.GetParentID(),
                    track.GetKineticEnergy(),
                    at.x,
                    at.y,
                    at.z,
                    track.GetGlobalTime(),
                    "primary" if creator is None else creator.GetProcessName(),
                    "" if creator is None else track.GetCreatorModelName(),
                )
            )

    class Gun(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
        primaries: Sequence[Any] = ()

        def __init__(self) -> None:
            super().__init__()
            self.gun = g4.G4ParticleGun(1)

        def GeneratePrimaries(self, event: Any) -> None:  # noqa: N802
            table = g4.G4ParticleTable.GetParticleTable()
            for pdg, energy, start, direction in self.primaries:
                self.gun.SetParticleDefinition(table.FindParticle(pdg))
                self.gun.SetParticleEnergy(energy)
                self.gun.SetParticlePosition(g4.G4ThreeVector(*start))
                self.gun.SetParticleMomentumDirection(g4.G4ThreeVector(*direction).unit())
                self.gun.GeneratePrimaryVertex(event)

    class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
        def Build(self) -> None:  # noqa: N802
            self.gun, self.tracking = Gun(), Tracking()
            self.SetUserAction(self.gun)
            self.SetUserAction(self.tracking)

    return Actions()


def _physics(g4: Any, cut: float) -> Any:
    physics = g4.G4VModularPhysicsList()
    physics.SetVerboseLevel(0)
    for constructor in (g4.G4EmStandardPhysics, g4.G4DecayPhysics, g4.G4StoppingPhysics, g4.G4StepLimiterPhysics):
        physics.RegisterPhysics(constructor())
    physics.SetDefaultCutValue(cut)
    parameters = g4.G4EmParameters.Instance()
    parameters.SetVerbose(0)
    parameters.SetFluo(False)
    parameters.SetAuger(False)
    parameters.SetPixe(False)
    g4.G4HadronicParameters.Instance().SetVerboseLevel(0)
    return physics


if __name__ == "__main__":
    main()
