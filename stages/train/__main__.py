"""Train one model a fold and seed, and write the models and how the training went."""

from stages.device import pick_device, pick_precision
from stages.params import load_params
from stages.train.checkpoint import Checkpoints, describe_platform
from stages.train.folds import INPUTS, class_names, read_samples, share_cores, train_folds, trainings
from stages.train.memory import advise_on_memory
from stages.train.outputs import write_outputs


def main() -> None:
    params = load_params()
    samples = read_samples()
    together, threads = share_cores(params, len(trainings(params, samples)))
    device = pick_device()
    platform = describe_platform(device, threads, pick_precision(params.train.precision, device))
    checkpoints = Checkpoints(params, INPUTS, platform)
    alone = "train one fold at a time (environment variable LOKY_MAX_CPU_COUNT=1). The next run goes on after the last finished epoch."
    with advise_on_memory(params, alone):
        trained = train_folds(params, samples, checkpoints, together, threads)
    write_outputs(params, class_names(samples), trained)
    checkpoints.clear()


if __name__ == "__main__":
    main()
