import pytest
import training_step

from service.models.networks import NETWORKS
from training.norms import fold_norms
from training.recipe import load_recipe


@pytest.mark.parametrize("kind", training_step.COUNTS)
def test_what_is_timed_is_what_the_recipe_trains(kind: str) -> None:
    recipe = load_recipe(training_step.RECIPES / f"default-{kind}.toml")
    plain = recipe.changed(frozen=0, fold_norms=False, restore_norms=False)
    wanted = NETWORKS[recipe.task, recipe.architecture](recipe.architecture, recipe.input_size)
    timed = training_step.network_of(plain, quick=False)
    assert timed.state_dict().keys() == wanted.state_dict().keys()
    assert all(parameter.requires_grad for parameter in timed.parameters())

    changed = training_step.network_of(plain.changed(frozen=2, fold_norms=True), quick=True)
    assert not any(parameter.requires_grad for parameter in changed.encoder.stem.parameters())
    assert fold_norms(changed) == 0  # they are folded already
