"""Event generation with Geant4 and the detector response."""
