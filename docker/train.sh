#!/bin/sh
# With arguments: `python -m training` with them. Without: train the default pair, going on where a run was
# stopped, export it to /checkpoints/detector and /checkpoints/pose, and calibrate its scores.
set -eu
if [ "$#" -gt 0 ]; then
    exec python -m training "$@"
fi

# A shell as the first process would keep SIGTERM from the training, which saves on it.
run() {
    "$@" &
    child=$!
    trap 'kill -TERM "$child"' TERM INT
    status=0
    wait "$child" || status=$?
    if [ "$status" -gt 128 ] && kill -0 "$child" 2>/dev/null; then # a signal ended the wait, not the child
        status=0
        wait "$child" || status=$?
        [ "$status" -ne 0 ] || status=143 # it saved and stopped: what comes next must not run
    fi
    trap - TERM INT
    [ "$status" -eq 0 ] || exit "$status"
}

for task in pose detector; do
    run python -m training train "training/recipes/default-$task.toml" --resume
    run python -m training export "runs/default-$task/best.pt" --to "/checkpoints/$task"
done
run python -m training evaluate --detector /checkpoints/detector --pose /checkpoints/pose --calibration --write
