"""What the degradation model of this project did not make: `python -m benchmarks.robustness`.

A network trained on simulated degradations learns the simulator with them. So other simulators, written here on their
own after what others publish, stand in for what a scanner may do: other motion, other noise, other coils, other
contrast, other voxels, other heads. Nothing here is used in training.
"""
