"""Search training-efficient networks from Python: ETNASSpace and NasoaEvolution in NNI's NasExperiment.

    python examples/search_nas_experiment.py --trials 20 --concurrency 2 --port 8080

Does what `nnictl create --config experiment_configs/search.yml` does, for those who want the model space, the
evaluation or the strategy in their own hands. Watch it at http://localhost:8080 meanwhile. (NNI's web server
has no password, so it is for this machine alone, unless NASOA_LISTEN is all.) The front is printed and
written to a file that `nni_nasoa.zoo.create_model` and macro-level search take.
"""

import click
import nni
import torch
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.experiment import NasExperiment

from nni_nasoa.data import open_dataset
from nni_nasoa.device.device import device_name
from nni_nasoa.device.precision import mixed_precision
from nni_nasoa.plugin.listening import listen_locally
from nni_nasoa.plugin.model_space import ETNASSpace
from nni_nasoa.plugin.strategy import NasoaEvolution
from nni_nasoa.search.front import write_front
from nni_nasoa.search.reward import score
from nni_nasoa.training.proxy import train_proxy
from nni_nasoa.training.speed import relative_speed


def evaluate(network, dataset, input_size, batch_size, epochs, threads):
    """Time one network, train it on the proxy dataset, and report both.

    Runs in a process of its own, the trial.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    split = open_dataset(dataset, input_size=input_size)
    speed = relative_speed(network, input_size, batch_size, device, autocast=mixed_precision(device))
    accuracy = train_proxy(
        network,
        split,
        epochs=epochs,
        batch_size=batch_size,
        device=device,
        on_epoch=lambda _, accuracy: nni.report_intermediate_result(score(accuracy, speed.relative_speed)),
    )
    nni.report_final_result(
        {
            # What NNI ranks by; the search takes the two apart.
            "default": score(accuracy, speed.relative_speed),
            "accuracy": accuracy,
            "relative_speed": speed.relative_speed,
            "throughput": speed.throughput,
            "step_time_ms": speed.step_time_ms,
            "reference_step_time_ms": speed.reference_step_time_ms,
            "params_m": network.architecture.parameters(network.num_classes) / 1e6,
            "gmacs": network.architecture.macs(input_size, network.num_classes) / 1e9,
            "architecture": str(network.architecture),  # a result says itself which network it is about
            "device": device_name(device),
            "dataset": dataset,
            "input_size": input_size,
            "batch_size": batch_size,
            "epochs": epochs,
        }
    )


@click.command()
@click.option(
    "--dataset",
    default="digits",
    show_default=True,
    help="digits, a torchvision dataset, or a folder of images.",
)
@click.option(
    "--input-size", default=32, show_default=True, help="Height and width of the images, in pixels."
)
@click.option("--batch-size", default=64, show_default=True)
@click.option("--epochs", default=2, show_default=True, help="Of training, for each network.")
@click.option("--trials", default=20, show_default=True, help="Networks to evaluate.")
@click.option("--concurrency", default=2, show_default=True, help="Trials at a time.")
@click.option("--gpus", default=0, show_default=True, help="GPUs of each trial.")
@click.option("--threads", default=1, show_default=True, help="CPU threads of each trial.")
@click.option("--port", default=8080, show_default=True, help="Of NNI's web interface.")
@click.option("--seed", default=0, show_default=True)
@click.option("--output", default="front.json", show_default=True, help="Where the front is written to.")
def main(dataset, input_size, batch_size, epochs, trials, concurrency, gpus, threads, port, seed, output):
    """Search a zoo of networks on this machine, and print its Pareto front."""
    nni.enable_global_logging()  # so that the strategy's messages, a line for every result, are shown as well
    classes = open_dataset(dataset, input_size=input_size).classes
    space = ETNASSpace(
        num_labels=len(classes), channels=(16, 32), stages=(3,), blocks=(1, 2, 3), doublings=(2, 3)
    )
    strategy = NasoaEvolution(
        population_size=10, seed=seed, initial=["020-_16_1-21-2", "10001-_32_1-21-2", "14441-_16_1-21-2"]
    )
    evaluator = FunctionalEvaluator(
        evaluate,
        dataset=dataset,
        input_size=input_size,
        batch_size=batch_size,
        epochs=epochs,
        threads=threads,
    )

    listen_locally()  # where NNI is started by nnictl, the tuner's config does it
    experiment = NasExperiment(space, evaluator, strategy)
    experiment.config.experiment_name = f"ET-NAS search on {dataset}"
    experiment.config.max_trial_number = trials
    experiment.config.trial_concurrency = concurrency
    experiment.config.trial_gpu_number = gpus
    if gpus:
        experiment.config.training_service.use_active_gpu = False
    try:
        experiment.run(port)
    finally:
        experiment.stop()

    evolution = strategy.evolution
    click.echo(f"\n{len(evolution.evaluated)} networks evaluated, {evolution.failures} failed. The front:\n")
    click.echo("accuracy  relative speed  parameters  architecture")
    for individual in evolution.front():
        result = individual.metrics
        click.echo(
            f"{result['accuracy']:8.2%}  {result['relative_speed']:14.2f}  {result['params_m']:9.2f}M  "
            f"{individual.candidate}"
        )
    if evolution.evaluated:
        write_front(
            output, [individual.metrics for individual in evolution.evaluated], experiment=experiment.id
        )
        click.echo(f"\nWritten to {output}: zoo.create_model('{output}#1') builds its first network.")


if __name__ == "__main__":
    main()
