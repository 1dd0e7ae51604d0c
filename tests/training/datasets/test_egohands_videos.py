from training.datasets.egohands_videos import SPLITS, VIDEOS


def test_48_videos_of_24_games():
    assert len(VIDEOS) == len(set(VIDEOS)) == 48
    for video in VIDEOS:
        activity, place, viewer, partner = video.split("_")
        assert f"{activity}_{place}_{partner}_{viewer}" in VIDEOS
    for activity in ("CARDS", "CHESS", "JENGA", "PUZZLE"):
        assert sum(video.startswith(activity) for video in VIDEOS) == 12


def test_every_video_is_in_one_part_with_its_partner():
    assert {name: len(videos) for name, videos in SPLITS.items()} == {
        "train": 36,
        "validation": 4,
        "test": 8,
    }
    assert sorted(video for videos in SPLITS.values() for video in videos) == sorted(VIDEOS)
    for videos in SPLITS.values():
        for video in videos:
            activity, place, viewer, partner = video.split("_")
            assert f"{activity}_{place}_{partner}_{viewer}" in videos


def test_the_test_part_has_every_activity_and_every_person():
    parts = [video.split("_") for video in SPLITS["test"]]
    assert {part[0] for part in parts} == {"CARDS", "CHESS", "JENGA", "PUZZLE"}
    assert {part[1] for part in parts} == {"COURTYARD", "LIVINGROOM", "OFFICE"}
    assert sorted(part[2] for part in parts) == list("BBHHSSTT")
