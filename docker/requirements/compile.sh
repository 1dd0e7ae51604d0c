#!/bin/sh
# Writes the pinned requirements of the images, with hashes: `sh docker/requirements/compile.sh`.
#
# Run it after a change of dependencies in pyproject.toml. The versions are those in .venv, so that the images
# run what the tests ran with; what .venv does not have is taken as new as pyproject.toml allows. Needs uv.
set -eu
cd "$(dirname "$0")/../.."
versions=$(mktemp)
trap 'rm -f "$versions"' EXIT
.venv/bin/python -m pip freeze --exclude-editable | grep -v '^-' >"$versions"

compile() { # source, target, further options
    source=$1 target=$2
    shift 2
    UV_CUSTOM_COMPILE_COMMAND="sh docker/requirements/compile.sh" \
        uv pip compile "$source" "$@" --constraint "$versions" --universal --python-version 3.11 --generate-hashes --only-binary :all: \
        --no-annotate --quiet --output-file "docker/requirements/$target"
}

# Every extra of the service is an image: `--build-arg EXTRA=gpu` takes service-gpu.txt.
extras='import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"])'

compile pyproject.toml service.txt
for extra in $(.venv/bin/python -c "$extras"); do
    case $extra in
        dev) ;;
        training) compile pyproject.toml training.txt --extra training ;;
        *) compile pyproject.toml "service-$extra.txt" --extra "$extra" ;;
    esac
done
echo hatchling | compile - build.txt
