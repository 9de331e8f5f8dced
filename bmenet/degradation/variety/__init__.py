"""What training sees beyond the presets: other anatomies, contrasts, resolutions, artefacts and strippings."""
