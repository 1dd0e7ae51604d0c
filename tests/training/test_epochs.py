from training.epochs import picture_of


def test_every_epoch_shows_every_picture_once_in_an_order_of_its_own() -> None:
    epochs = [[picture_of(10 * epoch + i, 10, seed=3) for i in range(10)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert [picture_of(i, 10, seed=3) for i in range(10, 20)] == epochs[1]
    assert [picture_of(i, 10, seed=4) for i in range(10)] != epochs[0]
