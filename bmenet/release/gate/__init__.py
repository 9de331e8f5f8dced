"""From a bundle to a champion: measure on validation volumes, decide, and say why."""
