"""Modules of the page by themselves, in a browser: `hand-stream.js` against a WebSocket that does what the test says,
`statistics.js` on made-up answers.
"""

from collections.abc import Callable
from typing import Any

import pytest

# `make(options, settings)` makes a stream whose sockets are in `sockets` and whose events are in `heard`.
SET_UP = """async (root) => {
  const { HandStream } = await import(`${root}/hand-stream.js`);
  const { Statistics } = await import(`${root}/statistics.js`);
  window.Statistics = Statistics;
  window.WebSocket = class {
    sent = [];
    closed = undefined;
    constructor(url, protocols) {
      this.url = String(url);
      this.protocols = protocols;
      sockets.push(this);
    }
    send(data) { this.sent.push(data); }
    close(code) { this.closed = code; }
    open() { this.onopen({}); }
    say(message) { this.onmessage({ data: JSON.stringify(message) }); }
    lose(code, reason = "") { this.onclose({ code, reason }); }
  };
  window.make = (options, settings) => {
    window.sockets = [];
    window.heard = [];
    const stream = new HandStream("http://example.test/v1/stream", options, settings);
    for (const type of ["state", "problem"]) stream.addEventListener(type, ({ detail }) => heard.push(detail));
    return stream;
  };
  window.opened = (options, settings) => {
    const stream = make(options, settings);
    stream.connect();
    sockets[0].open();
    return stream;
  };
  window.result = (frame) => ({ type: "result", frame, dropped: 0, hands: [] });
  window.pause = (ms) => new Promise((done) => setTimeout(done, ms));
}"""


def test_it_connects_with_its_options(run: Callable[[str], Any]) -> None:
    url, states = run("""
      const stream = opened({ max_hands: 2, mirrored: true });
      return [sockets[0].url, heard.map(({ state }) => state)];""")
    assert url == "ws://example.test/v1/stream?max_hands=2&mirrored=true"
    assert states == ["connecting", "open"]


def test_a_key_goes_as_a_subprotocol_and_never_into_the_address(run: Callable[[str], Any]) -> None:
    protocols, urls, heard = run("""
      const plain = opened(), protocols = [sockets[0].protocols];
      const stream = opened({}, { key: "hp_old", minDelayMs: 5 });
      sockets[0].say({ type: "error", frame: null, status: 401, title: "…", detail: "That key is not known here." });
      sockets[0].lose(1008);
      const heardThen = heard.slice(-2);
      stream.key = "hp_new";
      stream.connect();
      protocols.push(...sockets.map((socket) => socket.protocols));
      const urls = sockets.map((socket) => socket.url);
      stream.close();
      return [protocols, urls, heardThen];""")
    assert protocols == [[], ["handpose", "handpose.key.hp_old"], ["handpose", "handpose.key.hp_new"]]
    assert not any("hp_" in url for url in urls)
    assert heard[0]["status"] == 401
    assert heard[1]["state"] == "refused", "asking again with the same key would not help"


def test_two_frames_are_under_way_and_the_third_has_to_wait(run: Callable[[str], Any]) -> None:
    rooms, third, sent, answers = run("""
      const stream = opened(), rooms = [stream.room];
      const first = stream.send("a"), second = stream.send("b");
      rooms.push(stream.room);
      const third = await stream.send("c");
      sockets[0].say(result(0));
      rooms.push(stream.room);
      sockets[0].say(result(1));
      return [rooms, third, sockets[0].sent, await Promise.all([first, second])];""")
    assert rooms == [True, False, True]
    assert third is None
    assert sent == ["a", "b"]
    assert [answer["frame"] for answer in answers] == [0, 1]
    assert all(answer["roundTripMs"] >= 0 for answer in answers)


def test_a_frame_that_gave_way_to_a_newer_one_is_answered_with_null(run: Callable[[str], Any]) -> None:
    answers = run("""
      const stream = opened(), sent = [stream.send("a"), stream.send("b")];
      sockets[0].say(result(1));
      return [...(await Promise.all(sent)), stream.room];""")
    assert answers[0] is None
    assert answers[1]["frame"] == 1
    assert answers[2] is True


def test_no_hand_has_the_number_of_one_from_before_a_new_connection(run: Callable[[str], Any]) -> None:
    numbers = run("""
      const stream = make(), numbers = [];
      for (const connection of [[1, 3], [2], [], [2, 1]]) {
        stream.connect();
        sockets.at(-1).open();
        const answer = stream.send("a");
        sockets.at(-1).say({ ...result(0), hands: connection.map((track_id) => ({ track_id })) });
        numbers.push((await answer).hands.map(({ track_id }) => track_id));
        sockets.at(-1).lose(1006);
      }
      stream.close();
      return numbers;""")
    assert numbers == [[1, 3], [5], [], [7, 6]]


def test_a_bad_frame_fails_alone(run: Callable[[str], Any]) -> None:
    error, after = run("""
      const stream = opened(), bad = stream.send("a"), good = stream.send("b");
      sockets[0].say({ type: "error", frame: 0, status: 415, title: "…", detail: "This is text." });
      sockets[0].say(result(1));
      const error = await bad.catch(({ name, status, message }) => [name, status, message]);
      return [error, await good];""")
    assert error == ["FrameError", 415, "This is text."]
    assert after["frame"] == 1


def test_it_waits_longer_after_every_failure_up_to_a_limit_and_not_as_long_as_others(
    run: Callable[[str], Any],
) -> None:
    delays, after, states = run("""
      const stream = make({}, { minDelayMs: 400, maxDelayMs: 10000 });
      const fail = () => { stream.connect(); sockets.at(-1).lose(1006); return heard.at(-1).retryInMs; };
      const delays = Array.from({ length: 12 }, fail);
      stream.connect();
      sockets.at(-1).open();
      const answer = stream.send("a");
      sockets.at(-1).say(result(0));
      await answer;
      sockets.at(-1).lose(1001, "The service is stopping.");
      const after = heard.at(-1);
      stream.close();
      return [delays, after, heard.map(({ state }) => state)];""")
    longest = [min(10_000, 400 * 2**n) for n in range(12)]
    shares = [delay / limit for delay, limit in zip(delays, longest, strict=True)]
    assert all(0.5 <= share <= 1 for share in shares)
    assert len({round(share, 3) for share in shares}) > 6
    assert after["retryInMs"] <= 400, "an answer did not end the count of failures"
    assert after["reason"] == "The service is stopping."
    assert states[-2:] == ["waiting", "closed"]


def test_options_that_change_while_it_connects_are_told_when_it_has(run: Callable[[str], Any]) -> None:
    urls, sent = run("""
      const stream = make({ max_hands: 4 });
      stream.connect();
      stream.configure({ max_hands: 1 });
      sockets[0].open();
      return [sockets.map(({ url }) => url), sockets[0].sent];""")
    assert urls == ["ws://example.test/v1/stream?max_hands=4"]
    assert sent == ['{"type":"configure","max_hands":1}']


def test_it_comes_back_by_itself_and_counts_frames_from_0_again(run: Callable[[str], Any]) -> None:
    lost, answer, urls = run("""
      const stream = opened({ max_hands: 1 }, { minDelayMs: 10 });
      const lost = stream.send("a");
      stream.configure({ max_hands: 3 });
      sockets[0].say({ type: "configured", max_hands: 3 });
      sockets[0].lose(1006);
      await pause(60);
      sockets[1].open();
      const answer = stream.send("b");
      sockets[0].lose(1006); // the old one has no say any more
      sockets[1].say(result(0));
      return [await lost, await answer, [sockets.length, sockets[0].sent[1], sockets[1].url]];""")
    assert lost is None
    assert answer["frame"] == 0
    assert urls == [2, '{"type":"configure","max_hands":3}', "ws://example.test/v1/stream?max_hands=3"]


def test_an_option_without_a_value_is_not_asked_for(run: Callable[[str], Any]) -> None:
    """Also one that was taken back while the stream was open, when it comes back."""
    sent, urls = run("""
      const stream = opened({ max_hands: undefined, frame_rate: 25 }, { minDelayMs: 10 });
      stream.configure({ frame_rate: null });
      sockets[0].say({ type: "configured", frame_rate: null });
      sockets[0].lose(1006);
      await pause(60);
      return [sockets[0].sent, sockets.map(({ url }) => url)];""")
    assert sent == ['{"type":"configure","frame_rate":null}']
    assert urls == ["ws://example.test/v1/stream?frame_rate=25", "ws://example.test/v1/stream"]


def test_an_option_that_is_refused_is_told_and_forgotten(run: Callable[[str], Any]) -> None:
    sent, problems, lost, after = run("""
      const stream = opened({ max_hands: 4 }, { minDelayMs: 10 });
      stream.configure({ max_hands: 99, min_score: 0.8 });
      sockets[0].say({ type: "error", frame: null, status: 422, title: "…", detail: "max_hands: too many" });
      sockets[0].say({ type: "configured", max_hands: 4, min_score: 0.8 });
      stream.configure({ max_hands: 4, min_score: 0.8 }); // as it is
      stream.configure({ min_score: 0.9 });
      sockets[0].say({ type: "configured", max_hands: 4, min_score: 0.9 });
      sockets[0].lose(1006);
      const lost = heard.at(-1);
      await pause(60);
      sockets[1].open();
      const after = [sockets[1].url, sockets[1].sent];
      stream.close();
      return [sockets[0].sent, heard.filter(({ status }) => status), lost, after];""")
    assert sent == [
        '{"type":"configure","max_hands":99}',
        '{"type":"configure","min_score":0.8}',
        '{"type":"configure","min_score":0.9}',
    ]
    assert [problem["detail"] for problem in problems] == ["max_hands: too many"]
    assert (lost["state"], lost["reason"]) == ("waiting", ""), "the option is no reason"
    assert after == ["ws://example.test/v1/stream?max_hands=4&min_score=0.9", []]


def test_changes_that_nobody_confirmed_are_told_again(run: Callable[[str], Any]) -> None:
    """Not in the address: for a change that it refuses, the service must not refuse the whole stream."""
    told, begun = run("""
      const stream = opened({ max_hands: 4 }, { minDelayMs: 10 });
      stream.configure({ max_hands: 3 });
      stream.configure({ max_hands: 2 });
      sockets[0].say({ type: "configured", max_hands: 3 });
      sockets[0].lose(1006);
      stream.configure({ min_score: 0.8 });
      await pause(60);
      sockets[1].open();
      const told = [sockets[1].url, sockets[1].sent];
      stream.close();
      stream.connect();
      const begun = sockets[2].url;
      stream.close();
      return [told, begun];""")
    assert told == [
        "ws://example.test/v1/stream?max_hands=3",
        ['{"type":"configure","max_hands":2}', '{"type":"configure","min_score":0.8}'],
    ]
    assert begun == "ws://example.test/v1/stream?max_hands=2&min_score=0.8", "who begins asks for everything"


def test_a_stream_that_is_refused_as_a_whole_forgets_no_option(run: Callable[[str], Any]) -> None:
    state, url = run("""
      const stream = make();
      stream.connect();
      stream.configure({ max_hands: 1 });
      sockets[0].open();
      sockets[0].say({ type: "error", frame: null, status: 401, title: "…", detail: "No key was sent." });
      sockets[0].lose(1008);
      const { state } = stream;
      stream.connect();
      stream.close();
      return [state, sockets[1].url];""")
    assert state == "refused"
    assert url == "ws://example.test/v1/stream?max_hands=1"


@pytest.mark.parametrize(
    ("code", "complaint", "answered", "state"),
    [
        (1008, "max_hands: too many", False, "refused"),
        (1009, "", True, "refused"),
        (1008, "", True, "waiting"),  # answers were not read in time
        (1013, "The service is busy.", False, "waiting"),
        (1011, "", True, "waiting"),
        (1000, "", True, "closed"),  # nothing was sent for long
    ],
)
def test_it_asks_again_only_where_that_may_help(
    run: Callable[[str], Any], code: int, complaint: str, answered: bool, state: str
) -> None:
    last, attempts = run(f"""
      const stream = opened({{}}, {{ minDelayMs: 10 }});
      if ({str(answered).lower()}) {{ stream.send("a"); sockets[0].say(result(0)); }}
      const detail = {complaint!r};
      if (detail) sockets[0].say({{ type: "error", frame: null, status: 400, title: "…", detail }});
      sockets[0].lose({code});
      const last = heard.at(-1);
      await pause(40);
      const attempts = sockets.length;
      stream.close();
      return [last, attempts];""")
    assert (last["state"], last["reason"]) == (state, complaint)
    assert (attempts > 1) == (state == "waiting")


def test_a_service_that_says_nothing_is_given_up(run: Callable[[str], Any]) -> None:
    idle, answer, last, closed = run("""
      const stream = opened({}, { patienceMs: 30 });
      await pause(80);
      const idle = stream.state; // nothing is due
      const answer = await stream.send("a");
      const last = heard.at(-1);
      stream.close();
      return [idle, answer, last, sockets[0].closed];""")
    assert idle == "open"
    assert answer is None
    assert (last["state"], last["reason"]) == ("waiting", "The service does not answer.")
    assert closed == 1000


def test_closed_stays_closed(run: Callable[[str], Any]) -> None:
    states, answers = run("""
      const stream = opened({}, { minDelayMs: 5 }), sent = stream.send("a");
      stream.close();
      sockets[0].lose(1006);
      await pause(30);
      return [heard.map(({ state }) => state), [await sent, await stream.send("b"), sockets.length]];""")
    assert states == ["connecting", "open", "closed"]
    assert answers == [None, None, 1]


def test_the_figures_are_those_of_the_last_seconds(run: Callable[[str], Any]) -> None:
    before, figures, busy = run("""
      const statistics = new Statistics(), before = statistics.at(0);
      const answer = (roundTripMs, detect, total) => ({
        roundTripMs, detector_ran: detect > 0, timing_ms: { detect, pose: 4, queue: 10, total },
      });
      for (let i = 0; i < 100; i += 1) {
        statistics.frame(50 * i); // 20 a second
        if (i % 2) statistics.drop();
        else statistics.answer(answer(i < 50 ? 500 : 30, i % 10 ? 0 : 9, 25), 50 * i);
      }
      return [before, statistics.at(4950), statistics.busyMs];""")
    assert before["framesPerSecond"] == 0
    assert before.get("roundTripMs") is None
    assert figures["sourceFramesPerSecond"] == pytest.approx(20, rel=0.05)
    assert figures["framesPerSecond"] == pytest.approx(10, rel=0.1)
    assert (figures["frames"], figures["dropped"]) == (100, 50)
    assert (figures["roundTripMs"], figures["detectMs"], figures["poseMs"]) == (30, 9, 4)
    assert figures["detectorShare"] == pytest.approx(0.2)
    assert busy == 15
