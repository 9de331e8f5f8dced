"""Stage `export`: one bundle of graphs, weights and settings, compared with torch; TensorRT where there is a GPU."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.release.export.run import build_engines, bundle_inputs, bundle_lineage, export, skipped
from bmenet.runtime.files import write_json, write_text
from bmenet.runtime.progress import console
from bmenet.tracking import track_stage


def main() -> None:
    """Export, compare, and write down how far the graphs are from torch."""
    config, layout = load_config(), Layout()
    with track_stage(config, "export", bundle_inputs(layout)) as run, console.status("export") as status:
        lineage = bundle_lineage(config, layout)
        exported = export(layout.weights_folder, layout.bundle, config, lineage, status.update)
        engines = skipped()
        metrics = exported.metrics() | {"tensorrt": engines or "built"}
        if engines is None:
            metrics["tensorrt_seconds"] = build_engines(exported.bundle, "fp32", status.update)
        write_json(layout.report("export") / "metrics.json", metrics)
        write_text(layout.report("export") / "parity.csv", exported.table())
        run.set_tags({"tensorrt": engines or "built", "bundle.digest": exported.bundle.digest})
        run.log_metrics({"bundle_megabytes": metrics["bundle_megabytes"]})
        run.log_metrics(
            {
                f"error.{precision}.{graph.replace(', ', ' ')}": error
                for precision, errors in metrics["error"].items()
                for graph, error in errors.items()
            }
        )
        run.log_artifact(layout.report("export"))


if __name__ == "__main__":
    with exit_on_error():
        main()
