"""The baton: on a stage, where the test says which thread takes the next step, and then in the wild.

On the stage every lock, every wait and every use of an attribute by which leader, workers and watch agree without the
lock (`StagedBaton` lists them) is a *point*: a thread that comes to one stops there, and goes on when it is chosen.
Only one goes at a time, so each order of steps can be forced (`Script`), and all orders near the usual one tried
(`Search`). Time passes there only when the watch ticks.
"""

import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from threading import Thread, current_thread
from typing import Any, Protocol, TypeAlias

import pytest

from wsgiserver.baton import (
    HIRE_AGAIN,
    Baton,
    Task,
    _once_free,
    _Order,
    _Worker,
)
from wsgiserver.crowds import HEAVY, LIGHT, NONE, SPAN, Crowd
from wsgiserver.predictor import MOST_DOUBT, TRIAL
from wsgiserver.watch import CLOSER

PATIENCE = 60.0  # seconds after which a test is taken to hang; no test waits that long otherwise


Condition: TypeAlias = Callable[[], bool]
Rehearse: TypeAlias = Callable[..., "Play"]
Rehearsal: TypeAlias = Callable[["Director"], "Play"]


# -- the stage -----------------------------------------------------------------------------------------------------


class Actor:
    """A thread on the stage, and the point where it stands."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cue = threading.Lock()
        self.cue.acquire()
        self.point, self.ready, self.lazy = "enters", always, False


def always() -> bool:
    return True


class Director(Protocol):
    """Says who goes next, of those who can; they come in the usual order."""

    def choose(self, able: list[Actor], actors: dict[str, Actor]) -> Actor: ...


class Stage:
    """Lets one thread at a time go, from one point to the next; the one that stops chooses who goes on."""

    def __init__(self, director: Director) -> None:
        self.director = director
        self.actors: dict[str, Actor] = {}
        self.entered: list[str] = []
        self.here = threading.local()
        self.still = threading.Lock()
        self.still.acquire()
        self.closed = False
        self.errors: list[BaseException] = []
        self.story: list[str] = []
        self.now = 0.0
        self.rested: set[str] = set()  # names of workers whose rest is over, as soon as they have nothing to do

    @property
    def actor(self) -> Actor | None:
        return getattr(self.here, "actor", None)

    @property
    def name(self) -> str:
        """The name of the thread that is on the stage now."""
        assert self.actor is not None
        return self.actor.name

    def at(self, point: str, ready: Condition = always, lazy: bool = False) -> None:
        """Stop at a point, until this thread is chosen. (Who is not on the stage passes: the test itself.)"""
        me = self.actor
        if me is not None:
            me.point, me.ready, me.lazy = point, ready, lazy
            if self.closed or self.choose(me) is not me:
                self.wait(me)
            self.story.append(f"{me.name} {point}")

    def wait(self, me: Actor) -> None:
        if not self.closed:
            me.cue.acquire()
        if self.closed:
            raise SystemExit

    def choose(self, current: Actor | None) -> Actor | None:
        # The usual order: whoever goes goes on, then the others, and those who only pass the time come last.
        able = [actor for actor in self.actors.values() if actor.ready()]
        able.sort(key=lambda actor: (actor.lazy, actor is not current, actor.name))
        chosen = self.director.choose(able, self.actors) if able and not self.errors else None
        if chosen is None:
            self.still.release()
        elif chosen is not current:
            chosen.cue.release()
        return chosen

    def enter(self, name: str) -> None:
        """Announce a thread that is about to begin."""
        self.entered.append(name)
        self.actors[name] = Actor(name)

    def perform(self, name: str, act: Callable[[], None]) -> None:
        """Be that thread, from its beginning to its end."""
        self.here.actor = me = self.actors[name]
        try:
            self.wait(me)
            act()
        except SystemExit:
            pass
        except BaseException as error:
            self.errors.append(error)
        del self.actors[name]
        if not self.closed:
            self.choose(me)

    def play(self) -> None:
        """Let them go until the director stops them, or nobody can go on; raise what was raised."""
        self.choose(None)
        assert self.still.acquire(timeout=PATIENCE)
        if self.errors:
            raise self.errors[0]

    def close(self, threads: list[Thread]) -> None:
        self.closed = True
        for actor in list(self.actors.values()):
            actor.cue.release()
        for thread in threads:
            thread.join(PATIENCE)


class StagedLock:
    def __init__(self, stage: Stage, name: str, taken: bool = False) -> None:
        self.stage, self.name, self.taken = stage, name, taken

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        stage = self.stage
        if not blocking:
            stage.at(f"tries for {self.name}")
        elif timeout == -1:
            stage.at(f"takes {self.name}", ready=lambda: not self.taken)
            assert not self.taken
        else:
            name = stage.name
            stage.at(f"waits for {self.name}", ready=lambda: not self.taken or name in stage.rested)
        got, self.taken = not self.taken, True
        return got

    def release(self) -> None:
        self.stage.at(f"lays {self.name} down")
        assert self.taken
        self.taken = False

    def locked(self) -> bool:
        self.stage.at(f"looks at {self.name}")
        return self.taken

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.taken = False


class StagedMutex(StagedLock):
    def locked(self) -> bool:
        """Let them wait in it: on stage there is no GIL that they would give away."""
        return False


class StagedEvent:
    def __init__(self, stage: Stage) -> None:
        self.stage, self.rung = stage, False

    def set(self) -> None:
        self.stage.at("rings")
        self.rung = True

    def clear(self) -> None:
        self.rung = False

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is rung, or for some time, which may be over at any moment, but usually is so last of all."""
        if timeout is None:
            self.stage.at("sleeps", ready=lambda: self.rung)
        elif not self.rung:
            self.stage.at("waits a little", lazy=True)


class StagedWorker(_Worker):
    baton: Any
    given: Any
    pool: "StagedBaton"

    def __init__(self, pool: "StagedBaton", name: str) -> None:
        super().__init__(pool, name)
        self.stage = pool.stage
        self.baton = StagedLock(self.stage, f"baton {name}", taken=True)
        self.given = StagedLock(self.stage, "a job", taken=True)

    def give(self, job: Any) -> None:
        self.job = job
        self.given.taken = False

    def start(self) -> None:
        if self.pool.refuses():
            raise self.pool.refusal
        self.stage.enter(self.name)
        super().start()

    def run(self) -> None:
        self.stage.perform(self.name, super().run)


def shared(name: str) -> Any:
    """Make an attribute that threads use without a lock: each use is a point."""

    def read(self: "StagedBaton") -> Any:
        self.stage.at(f"reads {name}")
        return self.__dict__[name]

    def write(self: "StagedBaton", value: Any) -> None:
        self.stage.at(f"writes {name}")
        self.__dict__[name] = value

    return property(read, write)


class StagedBaton(Baton):
    _worker: Any = StagedWorker
    # With ``busy``, ``_task`` and ``_baton`` too, the search takes twice as long, and finds nothing more.
    _calls, _asleep, _over = shared("_calls"), shared("_asleep"), shared("_over")
    share_beside = 0.0

    def __init__(self, stage: Stage, turn: Callable[[], bool], threads: int, **options: Any) -> None:
        self.stage = stage
        self.refuses: Callable[[], bool] = lambda: False
        self.refusal: Exception = RuntimeError("can't start new thread")
        super().__init__(turn, threads, name="t", **options)
        self._lock: Any = StagedMutex(stage, "the lock")
        self._alarm: Any = StagedEvent(stage)
        self._slot: Any = StagedEvent(stage)
        self._clock = lambda: stage.now
        self._pause = self.pass_the_time
        self._let_begin = lambda: stage.at("lets others begin", lazy=True)

    def start(self) -> None:
        if self.threads > 1:
            self.stage.enter("watch")
        super().start()

    def pass_the_time(self, seconds: Any) -> None:
        self.stage.at("ticks", lazy=True)
        self.stage.now += seconds * (2 if self.share_beside else 1)  # the watch waits for the GIL too

    def _computed(self) -> float:
        """No time of the processor's passes on stage: who blocks there sleeps."""
        return 0.0

    def _computed_beside(self, process: float) -> dict[Any, float]:
        """Let another thread have this share of the time."""
        return {"another": self.share_beside * self.stage.now}

    def _watch(self) -> None:
        self.stage.perform("watch", super()._watch)


# -- directors: who goes next --------------------------------------------------------------------------------------


class Usual:
    """Each goes as far as it can."""

    def choose(self, able: list[Actor], actors: dict[str, Actor]) -> Actor:
        return able[0]


class Script:
    """One line after the other: an actor, and the point to which it goes and where it stops. Then as usual."""

    def __init__(self, *lines: tuple[str, str]) -> None:
        self.lines = deque(lines)

    def choose(self, able: list[Actor], actors: dict[str, Actor]) -> Actor:
        while self.lines:
            name, point = self.lines[0]
            actor = actors.get(name)
            if actor is None or point not in actor.point:
                return actor if actor in able else able[0]
            self.lines.popleft()
        return able[0]


class Search:
    """All orders that differ from the usual one in at most so many choices, one performance after the other."""

    def __init__(self, differences: int) -> None:
        self.differences = differences
        self.path: list[int] = []
        self.width: list[int] = []

    def performances(self) -> Iterator[None]:
        while True:
            self.step = self.differed = 0
            yield
            del self.path[self.step :], self.width[self.step :]
            while self.path and self.path[-1] + 1 >= self.width[-1]:
                self.path.pop()
                self.width.pop()
            if not self.path:
                return
            self.path[-1] += 1

    def choose(self, able: list[Actor], actors: dict[str, Actor]) -> Actor:
        if self.step == len(self.path):
            self.path.append(0)
            self.width.append(len(able) if self.differed < self.differences else 1)
        choice = self.path[self.step]
        self.step += 1
        self.differed += choice > 0
        return able[choice]


# -- a loop of three phases, and its tasks -------------------------------------------------------------------------


class Work:
    """A task that tells where it runs; it may say beforehand that it blocks, and block until something is so."""

    loop: "Play"

    def __init__(
        self,
        name: str,
        route: str = "",
        *,
        until: Condition | None = None,
        takes: float = 0.0,
        says_so: bool = False,
        stops: bool = False,
    ) -> None:
        self.name, self.kind = name, route or name
        self.until, self.takes, self.says_so, self.stops = until, takes, says_so, stops
        self.by: str | None = None
        self.overseen = False
        # Which thread told it that the loop goes on elsewhere.
        self.told_by: str | None = None

    @property
    def route(self) -> str:
        return self.kind

    def run(self) -> None:
        self.loop.begin(self)
        if self.says_so:
            self.loop.baton.will_block()
        if self.until is not None:
            self.loop.stage.at("blocks", ready=self.until)
        if self.stops:
            self.loop.baton.stop()
        self.loop.stage.now += self.takes
        self.loop.end(self)

    def overdue(self) -> None:
        self.told_by = self.loop.stage.name


def well_told(crowds: Sequence[Crowd]) -> bool:
    """Whether each that was told is another than the one before, from none to none."""
    return all(one is not other for one, other in pairwise([NONE, *crowds])) and [NONE, *crowds][-1] is NONE


class Play:
    """A loop like `wsgiserver.loop`, without sockets: lists of what comes, and of what was done in which order."""

    def __init__(
        self, director: Director, *cohorts: Sequence[Work], threads: int = 2, kind: type[StagedBaton] = StagedBaton
    ) -> None:
        self.stage = Stage(director)
        self.crowds: list[Crowd] = []
        self.baton = kind(self.stage, self.turn, threads, crowded=self.crowds.append, wake=self.wake)
        self.arriving: deque[Sequence[Work]] = deque()
        self.ready: deque[Work] = deque()
        self.unsent: deque[Work] = deque()
        self.asleep = self.woken = False
        self.closing = True
        self.leader: str | None = None
        self.all: list[Work] = []
        self.begun: list[str] = []
        self.answered: list[str] = []
        self.running = 0
        for cohort in cohorts:
            self.arrive(*cohort)

    def arrive(self, *works: Work) -> None:
        for work in works:
            work.loop = self
        self.all += works
        self.arriving.append(works)

    @property
    def leads(self) -> str:
        """The name of the thread that leads."""
        return self.baton.__dict__["_leader"].name

    @property
    def hired(self) -> int:
        """How many threads the pool has had."""
        return len([thread for thread in self.stage.entered if thread != "watch"])

    def done(self, name: str) -> Condition:
        """Say whether the answer to this one is written, in a form that can be waited for."""
        return lambda: name in self.answered

    # What the leader does.

    def lead(self) -> None:
        assert self.leader is None, "two lead"
        self.leader = self.stage.name

    def turn(self) -> bool:
        self.lead()
        self.write()
        while self.ready:
            work = self.ready.popleft()
            self.leader = None
            if not self.baton.call(work):
                return False
            self.lead()
        self.write()
        if self.closing and len(self.answered) == len(self.all):
            self.leader = None
            return False
        self.asleep = True
        if not self.unsent:
            self.stage.at("polls", ready=lambda: self.woken or bool(self.arriving))
        self.asleep = self.woken = False
        if self.arriving:
            self.ready.extend(self.arriving.popleft())
        self.leader = None
        return True

    def wake(self) -> None:
        self.woken = True

    def write(self) -> None:
        while self.unsent:
            self.answered.append(self.unsent.popleft().name)

    # What a task does, on any thread.

    def begin(self, work: Work) -> None:
        assert work.by is None, "run twice"
        work.by = self.stage.name
        self.begun.append(work.name)
        self.running += 1
        assert self.running <= self.baton.threads

    def end(self, work: Work) -> None:
        self.running -= 1
        self.unsent.append(work)
        self.stage.at("hands in")
        if self.asleep:
            self.woken = True

    # What the test does.

    def perform(self) -> "Play":
        """Begin, and go on until all is answered and all have gone."""
        try:
            self.baton.start()
            self.stage.play()
            assert sorted(self.answered) == sorted(work.name for work in self.all)
            assert not self.stage.actors, {a.name: a.point for a in self.stage.actors.values()}
            assert well_told(self.crowds)
            assert self.baton.busy == self.baton.waiting == self.running == 0
        finally:
            self.close()
        return self

    def go_on(self, *works: Work) -> None:
        """Let these arrive, and go on until nobody can; begin, at first."""
        if self.baton._leader is None:
            self.closing = False
            self.baton.start()
        if works:
            self.arrive(*works)
        self.stage.play()

    def close(self) -> None:
        self.stage.close(self.baton._crew)
        assert self.baton.join(PATIENCE)

    def where(self, name: str) -> str:
        return self.stage.actors[name].point


@pytest.fixture
def rehearse() -> Iterator[Rehearse]:
    """Make plays that are closed at the end, for tests that stop in the middle."""
    plays: list[Play] = []

    def make(director: Director, *cohorts: Sequence[Work], threads: int = 2) -> Play:
        plays.append(Play(director, *cohorts, threads=threads))
        return plays[-1]

    yield make
    for play in plays:
        play.close()


# -- the usual course ----------------------------------------------------------------------------------------------


def test_quick_tasks_run_on_the_leader_in_order() -> None:
    play = Play(Usual(), [Work("a"), Work("b")], [Work("c")]).perform()
    assert [(work.name, work.by) for work in play.all] == [("a", "t-1"), ("b", "t-1"), ("c", "t-1")]
    assert play.crowds == []


def test_the_loop_goes_on_without_a_call_that_blocks() -> None:
    play = Play(Usual(), [Work("quick"), Work("slow"), Work("next")])
    play.all[1].until = play.done("next")
    play.perform()
    assert play.answered == ["quick", "next", "slow"]
    assert [work.by for work in play.all] == ["t-1", "t-1", "t-2"]
    assert play.crowds == []


def test_a_call_that_takes_long_is_told_and_no_other_is() -> None:
    play = Play(Usual(), [Work("slow"), Work("quick")])
    slow, quick = play.all
    slow.until = play.done("quick")
    play.perform()
    assert (slow.overseen, slow.told_by) == (True, "watch")
    assert (quick.overseen, quick.told_by) == (True, None)


def test_a_call_that_takes_long_is_told_also_when_there_is_no_thread_to_lead_on() -> None:
    play = Play(Usual(), [Work("slow"), Work("next")])
    slow = play.all[0]
    slow.until = lambda: slow.told_by is not None
    play.baton.refuses = lambda: "t-1" in play.stage.entered
    play.perform()
    assert slow.told_by == "watch"
    assert play.hired == 1


@pytest.mark.parametrize("refusal", [RuntimeError("can't start new thread"), MemoryError()])
def test_a_thread_that_is_not_to_be_had_is_told_and_asked_for_again_after_a_while(refusal: Exception) -> None:
    """The others go on meanwhile."""
    play = Play(Usual(), [Work("slow"), Work("next")])
    told: list[float] = []
    play.baton.refused = lambda error: told.append(play.stage.now) if error is refusal else None
    play.baton.refuses, play.baton.refusal = lambda: "t-1" in play.stage.entered and len(told) < 3, refusal
    play.all[0].until = play.done("next")
    play.perform()
    assert [later - before >= HIRE_AGAIN for before, later in pairwise(told)] == [True, True]
    assert play.hired == 2


def test_a_call_that_takes_long_is_told_before_a_late_watch_looks_a_second_time() -> None:
    """The watch may be late because the call keeps the GIL; the machine may have stood still as well."""
    play = Play(Usual(), [Work("slow"), Work("next")])
    slow = play.all[0]
    slow.until = lambda: slow.told_by is not None
    tick = play.baton.pass_the_time
    play.baton._pause = lambda seconds: tick(seconds + 1)
    play.perform()
    assert play.hired == 1


def test_a_task_that_says_it_will_block_is_told_at_once() -> None:
    play = Play(Usual(), [Work("slow", says_so=True)]).perform()
    assert play.all[0].told_by == "t-1"


@pytest.mark.parametrize(("crowd", "overseen"), [(NONE, True), (LIGHT, True), (HEAVY, False)])
def test_in_a_heavy_crowd_nobody_watches(crowd: Crowd, overseen: bool) -> None:
    """The watch needs the GIL as well, which those who compute keep from it."""
    play = crowded(Play(Usual(), [Work("a")]), crowd).perform()
    assert play.all[0].overseen is overseen


def test_nobody_watches_a_task_on_a_worker() -> None:
    """Also where it ran inline when it ran before: a stream would go on to wait for a watch that looks elsewhere."""
    play = Play(Usual(), [Work("a", "r", says_so=True)], [Work("b", "r")])
    play.all[1].overseen = True
    play.perform()
    assert [work.overseen for work in play.all] == [True, False]


def test_what_a_thread_computed_while_it_led_is_not_held_against_it() -> None:
    """It leads and loses the lead between two looks for a crowd: for the second that is another job."""
    baton = Baton(lambda: False, 2)
    worker = Computing(baton, "one")
    baton._crew = [worker, Thread()]
    before = baton._computed_beside(8.0)
    worker.give(_Order.LEAD)
    baton._leader = worker
    assert 1.0 not in baton._computed_beside(8.0).values()
    baton._leader = None
    after = baton._computed_beside(8.0)
    assert [key for key, computed in before.items() if computed == 1.0] == [(worker, 0)]
    assert [key for key, computed in after.items() if computed == 1.0] == [(worker, 1)]


def test_a_worker_that_goes_on_with_a_queued_task_has_another_job() -> None:
    """Many short ones one after the other are no long one."""
    baton = Baton(lambda: False, 2)
    worker = Computing(baton, "one")
    worker.give(Work("a", "r"))
    baton._predictor.learn("r", 1, blocked=True)
    baton._waiting.append(Work("b", "r"))
    before = worker.jobs
    assert baton._next(worker) is not _Order.END
    assert worker.jobs == before + 1


class Computing(_Worker):
    """A worker that is there, and has computed for a second."""

    def is_alive(self) -> bool:
        return True

    def computed(self) -> float | None:
        return 1.0


def test_threads_of_the_application_have_what_the_process_has_had_and_the_pool_and_the_watch_have_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "thread_time", lambda: 0.5)
    baton = Baton(lambda: False, 2)
    baton._crew = [Computing(baton, "one"), Computing(baton, "two"), Thread()]
    baton._leader = baton._crew[0]  # type: ignore[assignment]
    before = baton._computed_beside(8.0)
    assert sorted(before.values()) == [1.0, 5.5]
    baton._crew.append(Computing(baton, "three"))
    assert 4.5 in baton._computed_beside(8.0).values()
    others = before.keys() - baton._computed_beside(8.0).keys()
    assert [before[key] for key in others] == [5.5], "who has come or gone makes no time of anybody's"


def test_nothing_is_said_of_other_threads_where_the_system_does_not_tell_the_times_of_the_pool() -> None:
    baton = Baton(lambda: False, 2)
    worker = Computing(baton, "one")
    worker.computed = lambda: None  # type: ignore[method-assign]
    baton._crew = [worker]
    assert baton._computed_beside(8.0) == {}


@pytest.mark.parametrize(("threads", "held"), [(1, True), (2, False)])
def test_a_task_that_holds_the_only_thread_holds_the_loop(threads: int, held: bool) -> None:
    """Whoever stops the server then need not wait for the loop to see that its time is over."""
    seen: list[bool] = []
    play = Play(Usual(), [Work("a", until=lambda: seen.append(play.baton.stuck) is None)], threads=threads)
    assert not play.baton.stuck
    play.perform()
    assert seen[0] is held
    assert not play.baton.stuck


def test_nobody_watches_with_one_thread() -> None:
    play = Play(Usual(), [Work("a"), Work("b")], threads=1).perform()
    assert [work.overseen for work in play.all] == [False, False]


def test_who_computes_beside_the_leader_is_a_crowd_until_some_time_after_it_is_done() -> None:
    play = Play(Usual(), [Work("computes"), *(Work(str(number)) for number in range(3))])
    play.all[0].until = lambda: bool(play.crowds)
    play.baton.share_beside = 1.0
    play.perform()
    assert play.crowds == [HEAVY, NONE]


def test_who_computes_on_a_worker_is_a_crowd_though_the_watch_slept_when_it_began(rehearse: Rehearse) -> None:
    """The leader makes no call that would wake the watch."""
    play = rehearse(Usual())
    play.go_on(Work("first", "r", says_so=True))
    assert play.where("watch") == "sleeps"
    play.baton.share_beside = 1.0
    play.go_on(Work("computes", "r", until=lambda: bool(play.crowds)))
    assert play.answered == ["first", "computes"]
    assert play.crowds == [HEAVY, NONE]


def test_a_crowd_is_over_when_the_watch_goes_to_sleep(rehearse: Rehearse) -> None:
    """Threads of the application's own may compute on, but nobody looks whether they do."""
    play = rehearse(Usual())
    play.baton.share_beside = 1.0
    play.go_on(Work("slow", until=lambda: bool(play.crowds)))
    assert play.where("watch") == "sleeps"
    assert play.crowds == [HEAVY, NONE]


def test_what_was_laid_down_before_a_hand_over_is_written_before_anything_else_is_called() -> None:
    """DESIGN 4b: the new leader writes what is there to write, then goes on with the rest."""
    play = Play(Usual(), [Work("done"), Work("slow"), Work("next")])
    play.all[1].until = play.done("next")
    play.perform()
    assert play.answered[0] == "done"


def test_a_route_that_blocked_goes_straight_to_a_worker() -> None:
    play = Play(Usual(), [Work("first", "r"), Work("second", "r"), Work("third", "r")], threads=4)
    for work in play.all:
        work.until = lambda: len(play.begun) == 3
    play.perform()
    assert [work.by for work in play.all] == ["t-1", "t-3", "t-4"]
    assert play.baton._calls == 1


def test_a_route_that_turned_out_quick_again_is_called_inline_again(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    play.go_on(Work("slow", "r", says_so=True))
    for n in range(2):
        play.go_on(Work(f"quick {n}", "r"))
    assert [work.by == "t-2" for work in play.all] == [False, False, True]
    assert play.baton._doubts == {}


def test_each_blocked_call_in_a_row_sends_more_of_its_route_to_workers(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    play.go_on(Work("first", "r", says_so=True))
    doubts = [play.baton._doubts["r"]]
    for n in range(3):
        play.go_on(Work(f"slow {n}", "r", takes=0.002))
        doubts.append(play.baton._doubts["r"])
    assert doubts == [1, 18, MOST_DOUBT, MOST_DOUBT]


def test_of_a_route_in_doubt_one_is_tried_inline_and_acquits_it_when_it_is_quick(rehearse: Rehearse) -> None:
    """On workers, where they wait for each other's turn, calls may seem slow for ever that are quick inline."""
    play = rehearse(Usual())
    play.go_on(Work("first", "r", says_so=True))
    for n in range(TRIAL):
        play.go_on(Work(f"seems slow {n}", "r", takes=0.003))
    play.go_on(Work("tried", "r"), Work("inline", "r"))
    assert [work.by == "t-2" for work in play.all] == [False] * (TRIAL + 1) + [True, True]
    assert play.baton._doubts == {}


def test_a_route_that_blocks_when_it_is_tried_is_tried_half_as_often(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    for n in range(4 * TRIAL):
        play.go_on(Work(f"slow {n}", "r", says_so=True, takes=0.003))
    inline = [n for n, work in enumerate(play.all) if work.told_by is not None]
    assert inline == [0, TRIAL + 1, 3 * TRIAL + 1]
    assert play.baton._doubts == {"r": MOST_DOUBT}


def all_slots_taken(director: Director, due: int, *names: str, kind: type[StagedBaton] = StagedBaton) -> Play:
    """Make a play of tasks of one route in doubt: two for the two slots, the others; one is due for a trial then."""
    play = Play(director, [Work(name, "r") for name in ("a", "b", *names)], kind=kind)
    play.baton._doubts["r"] = MOST_DOUBT
    play.baton._predictor._trials["r"] = (due, TRIAL)
    return play


def test_with_every_slot_taken_one_is_tried_inline_in_the_slot_of_who_comes_back_next() -> None:
    """Else a route that only seems slow on workers would stay there for as long as more clients ask than threads."""
    play = all_slots_taken(Usual(), 2, "tried", "inline")
    a, b, tried, inline = play.all
    a.until, b.until = lambda: play.baton._wanted, play.done("inline")
    play.perform()
    assert [tried.by, inline.by] == ["t-1", "t-1"]
    assert play.baton._doubts == {}


def test_a_trial_with_every_slot_taken_overtakes_nobody_and_who_waits_has_its_turn_in_the_same_slot() -> None:
    """Who waits is run inline as well, up to the first whose route is in doubt, which has the slot then."""
    play = all_slots_taken(Usual(), 4, "tried", "quick", "doubted")
    a, b, tried, quick, doubted = play.all
    doubted.kind = "s"
    play.baton._doubts["s"] = MOST_DOUBT
    a.until, b.until = lambda: play.baton._wanted, play.done("doubted")
    play.perform()
    assert play.begun == ["a", "b", "tried", "quick", "doubted"]
    assert (tried.by, quick.by, doubted.by) == ("t-1", "t-1", a.by)


def test_who_waits_and_is_trusted_again_is_left_to_the_leader() -> None:
    """A worker that is done takes the next of those in doubt, and wakes the leader for the others."""
    play = Play(Usual(), [Work("a", "r"), Work("b", "r"), Work("quick"), Work("doubted", "r")], [Work("last")])
    a, b, quick, doubted, _ = play.all
    play.baton._doubts["r"] = MOST_DOUBT
    a.until, b.until = lambda: play.baton.waiting >= 2, play.done("last")
    play.perform()
    assert (quick.by, doubted.by) == ("t-1", a.by)
    assert play.begun[2:4] == ["quick", "doubted"]


def test_those_who_wait_when_all_is_over_are_run_to_the_end(rehearse: Rehearse) -> None:
    """By the leader, that has nothing else to do, where a worker had left it a slot for them."""
    play = rehearse(Usual(), threads=2)
    play.go_on(Work("a", "r", says_so=True), Work("b", "r"), Work("c", "r"), Work("d"), Work("e"))
    play.baton.stop()
    play.wake()
    play.stage.play()
    assert sorted(play.begun) == ["a", "b", "c", "d", "e"]


def test_the_last_leader_runs_those_who_wait_where_no_worker_is_left_to_do_so() -> None:
    """A worker leaves those whom nobody doubts to the leader, whose loop may be over before it has caught up."""
    done: list[str] = []
    baton = Baton(lambda: False, 2)
    baton._leader = leader = _Worker(baton, "one")
    baton._waiting.extend(Errand(lambda name=name: done.append(name)) for name in "ab")  # type: ignore[misc]
    leader.give(_Order.LEAD)
    baton._serve(leader)
    assert done == ["a", "b"]
    assert baton.busy == 0


def test_the_leader_turns_the_loop_while_many_wait(rehearse: Rehearse) -> None:
    """After a tick of catching up it writes what is there, and reads; so nobody waits for the last of them."""
    names = [f"w{n}" for n in range(6)]
    play = Play(Usual(), [Work("a", "r"), Work("b", "r"), *(Work(name, takes=0.0015) for name in names)])
    a, b = play.all[:2]
    play.baton._doubts["r"] = MOST_DOUBT
    a.until, b.until = lambda: play.baton.waiting == 6 and play.asleep, play.done(names[-1])
    answered: list[int] = []
    write = play.write

    def note() -> None:
        answered.append(len(play.unsent))
        write()

    play.write = note  # type: ignore[method-assign]
    play.perform()
    assert max(answered) < 4


def test_a_trial_that_blocks_is_not_acquitted_by_the_next_quick_call(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    play.baton._doubts["r"] = MOST_DOUBT
    play.baton._predictor._trials["r"] = (0, TRIAL)
    play.go_on(Work("tried", "r", until=play.done("quick")), Work("quick"))
    assert play.answered == ["quick", "tried"]
    assert play.baton._doubts == {"r": MOST_DOUBT}


def test_the_leader_that_waits_for_a_slot_goes_on_as_soon_as_there_is_one() -> None:
    play = all_slots_taken(Usual(), 2, "tried")
    a, b, tried = play.all
    a.until, b.until = lambda: play.baton._wanted, play.done("tried")
    slot = play.baton._slot
    slot.wait = lambda seconds: StagedEvent.wait(slot)  # for as long as it takes
    play.perform()
    assert tried.by == "t-1"


def test_the_leader_waits_for_a_slot_though_it_has_waited_for_one_before(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    for a, b, tried in ("abc", "def"):
        play.baton._doubts["r"] = MOST_DOUBT
        play.baton._predictor._trials["r"] = (2, TRIAL)
        wanted = Work(a, "r", until=lambda: play.baton._wanted)
        play.go_on(wanted, Work(b, "r", until=play.done(tried)), Work(tried, "r"))
    assert [work.by for work in play.all if work.name in "cf"] == ["t-1", "t-1"]
    assert play.baton._doubts == {}


def test_a_leader_that_was_given_a_slot_finds_nobody_to_try_when_another_worker_was_quicker() -> None:
    script = Script(
        ("t-1", "waits a little"),
        ("t-3", "blocks"),
        ("t-2", "hands in"),
        ("t-2", "waits for a job"),
        ("t-3", "hands in"),
        ("t-3", "blocks"),
    )
    play = all_slots_taken(script, 2, "queued")
    for work in play.all:
        work.until = always
    play.perform()
    assert not script.lines
    assert play.all[2].by == "t-3"


def two_who_wait() -> Play:
    """Play two quick calls that wait until both slots become free, while the leader polls; the first blocks then."""
    script = Script(
        ("t-1", "polls"),
        ("t-1", "takes the lock"),
        ("t-1", "polls"),
        ("t-2", "hands in"),
        ("t-2", "waits for a job"),
        ("t-3", "hands in"),
        ("t-3", "waits for a job"),
    )
    play = Play(script, [Work("a", "r"), Work("b", "r"), Work("slow"), Work("next")])
    play.baton._doubts["r"] = MOST_DOUBT
    play.all[2].until = play.done("next")
    play.perform()
    assert not script.lines
    return play


def test_who_waits_behind_a_call_that_blocks_does_not_wait_for_it() -> None:
    """No worker comes back to wake the new leader, which has nothing to read, but somebody to run."""
    assert two_who_wait().answered == ["a", "b", "next", "slow"]


def test_a_leader_that_loses_the_loop_while_it_runs_who_waits_leads_no_longer() -> None:
    play = two_who_wait()
    assert play.all[2].by == "t-1"
    assert play.all[3].by == play.leads != "t-1"


def test_where_no_worker_comes_back_soon_the_trial_is_left_for_later() -> None:
    play = all_slots_taken(Usual(), 2, "queued")
    a, b, queued = play.all
    a.until = lambda: play.baton.waiting == 1 and not play.baton._wanted
    b.until = lambda: "queued" in play.begun
    play.perform()
    assert queued.by == a.by != "t-1"
    assert play.baton._predictor._trials["r"] == (TRIAL, TRIAL)


def test_the_loop_goes_on_without_a_call_that_blocks_in_its_trial_with_every_slot_taken() -> None:
    play = all_slots_taken(Usual(), 2, "tried", "next")
    a, b, tried, _ = play.all
    a.until = lambda: play.baton._wanted
    tried.until, b.until = lambda: play.baton.waiting == 1 and play.leads != "t-1", play.done("tried")
    play.perform()
    assert (tried.by, tried.told_by, play.leads) == ("t-1", "watch", a.by)
    assert play.baton._predictor._trials["r"] == (2 * TRIAL - 1 - 1, 2 * TRIAL)


def test_a_task_that_is_given_to_a_worker_begins_before_the_leader_goes_on() -> None:
    """All at once, they would begin together, and end together, and so would whatever their clients ask next."""
    play = Play(Usual(), [Work("first", "r", says_so=True)], [Work("given", "r"), Work("next", "s")], threads=4)
    play.perform()
    assert [work.by for work in play.all] == ["t-1", "t-1", "t-2"]
    assert play.begun == ["first", "given", "next"]


def crowded(play: Play, crowd: Crowd) -> Play:
    """Let there be a crowd, whatever the watch sees."""
    play.baton.crowded = lambda crowd: None
    play.baton._set_crowd(crowd)
    play.baton._crowds._any_ends = 1000.0 if crowd is not NONE else 0.0
    play.baton._crowds._heavy_ends = 1000.0 if crowd is HEAVY else 0.0
    return play


@pytest.mark.parametrize("crowd", [LIGHT, HEAVY])
def test_in_a_crowd_the_leader_does_not_give_the_gil_away_for_a_worker(crowd: Crowd) -> None:
    play = Play(Usual(), [Work("first", "r", says_so=True)], [Work("given", "r"), Work("next", "s")], threads=4)
    play.all[0].until = play.done("next")
    crowded(play, crowd).perform()
    assert play.begun == ["first", "next", "given"]


@pytest.mark.parametrize(
    ("took", "computed", "crowd", "blocked"),
    [
        (0.0021, 0.0021, NONE, True),
        (0.0021, 0.0, LIGHT, True),
        (0.0003, 0.0, NONE, True),
        (0.0019, 0.0016, NONE, True),
        (0.0019, 0.0018, NONE, False),
        (0.0002, 0.0, NONE, False),
        (0.0019, 0.0, LIGHT, False),
        (0.0019, 0.0, HEAVY, False),
    ],
)
def test_a_call_on_a_worker_has_blocked_when_it_took_a_tick_or_has_slept_a_little(
    monkeypatch: pytest.MonkeyPatch, took: float, computed: float, crowd: Crowd, blocked: bool
) -> None:
    """In a crowd it may have waited for the GIL instead of sleeping."""
    baton = Baton(lambda: False, 2)
    baton._set_crowd(crowd)
    baton._predictor.learn("r", 1, blocked=True)
    now = {"wall": 5.0, "thread": 1.0}
    baton._clock = lambda: now["wall"]
    monkeypatch.setattr(time, "thread_time", lambda: now["thread"])

    class Call:
        route, overseen = "r", True

        def run(self) -> None:
            now["wall"] += took
            now["thread"] += computed

        def overdue(self) -> None: ...

    baton._work(Call())
    assert ("r" in baton._doubts) is blocked


class Pauses(StagedBaton):
    """Notes how long the watch pauses between two looks."""

    def pass_the_time(self, seconds: Any) -> None:
        self.__dict__.setdefault("pauses", []).append(seconds)
        super().pass_the_time(seconds)


def test_the_watch_looks_more_often_when_the_leader_sleeps_in_one_call_after_the_other() -> None:
    """None lasts for a tick, but each is asleep when the watch looks, and it looks in time."""
    works = [Work(f"w{n}") for n in range(8)]
    play = Play(Usual(), works, kind=Pauses)
    pauses = play.baton.__dict__.setdefault("pauses", [])
    for n, work in enumerate(works, start=1):
        work.until = lambda n=n: len(pauses) > n  # type: ignore[misc]
    play.perform()
    assert play.baton.tick / CLOSER in pauses


@pytest.mark.parametrize(("crowd", "closer"), [(NONE, CLOSER), (LIGHT, CLOSER), (HEAVY, 1)])
def test_the_watch_looks_more_often_after_a_hand_over_but_not_in_a_heavy_crowd(crowd: Crowd, closer: int) -> None:
    """In a heavy crowd each look would take the GIL from the leader for a while."""
    play = Play(Usual(), [Work("slow"), Work("next"), Work("slow too"), Work("last")], threads=4, kind=Pauses)
    for work in play.all[::2]:
        work.until = play.done("last")
    crowded(play, crowd).perform()
    tick = play.baton.tick
    assert play.baton.__dict__["pauses"][0] == tick
    assert tick / closer in play.baton.__dict__["pauses"][1:]
    assert {tick, tick / closer} == set(play.baton.__dict__["pauses"])


def test_the_watch_does_not_look_more_often_after_a_trial_that_blocks() -> None:
    """Whoever is tried is known to block; were the watch alert after each, it would be so all the time."""
    works = [Work("tried", "r"), Work("next"), Work("slow"), Work("last")]
    play = Play(Usual(), works, threads=4, kind=Pauses)
    for work in works[::2]:
        work.until = play.done("last")
    play.baton._predictor.learn("r", 0, blocked=True)
    play.baton._predictor._trials["r"] = (0, TRIAL)
    play.perform()
    assert [work.by for work in works] == ["t-1", "t-2", "t-2", "t-3"]
    assert set(play.baton.__dict__["pauses"]) == {play.baton.tick}


def test_the_watch_looks_more_often_after_a_call_that_blocks_though_a_trial_went_well_before() -> None:
    names = ["slow", "next", "slow too", "last"]
    play = Play(Usual(), [Work("tried", "r"), *map(Work, names)], threads=4, kind=Pauses)
    for work in play.all[1::2]:
        work.until = play.done("last")
    play.baton._predictor.learn("r", 0, blocked=True)
    play.baton._predictor._trials["r"] = (0, TRIAL)
    play.perform()
    assert "r" not in play.baton._doubts
    assert play.baton.tick / CLOSER in play.baton.__dict__["pauses"]


def test_the_watch_does_not_look_more_often_for_a_thread_that_is_not_to_be_had() -> None:
    play = Play(Usual(), [Work("slow"), Work("next")], kind=Pauses)
    pauses = play.baton.__dict__.setdefault("pauses", [])
    play.all[0].until = lambda: len(pauses) > 8
    play.baton.refuses = lambda: "t-1" in play.stage.entered
    play.perform()
    assert set(pauses) == {play.baton.tick}


def test_a_slot_that_becomes_free_just_then_makes_no_trial_of_a_route_that_nobody_doubts() -> None:
    """The leader sees every slot taken; when it has the lock, a worker has come back, and has left the queue empty."""
    baton = Baton(lambda: False, 2)
    quick = Work("quick", "r")
    assert baton._give(quick) is quick
    assert (baton._predictor._trials, baton._tried, baton.busy) == ({}, None, 0)


def test_who_finds_the_lock_taken_looks_again_instead_of_waiting_in_it() -> None:
    class Looked:
        """A lock that nobody may wait in, and that tells when somebody has looked at it."""

        def __init__(self) -> None:
            self.looked = threading.Event()
            self.taken = False

        def locked(self) -> bool:
            self.looked.set()
            return self.taken

        def __enter__(self) -> None:
            assert not self.taken, "who waits in a lock has given the GIL away"
            self.taken = True

        def __exit__(self, *error: object) -> None:
            self.taken = False

    lock = Looked()
    inside: list[str] = []

    def come() -> None:
        with _once_free(lock):  # type: ignore[arg-type]
            inside.append("second")

    with lock:
        second = Thread(target=come)
        second.start()
        assert lock.looked.wait(PATIENCE)
        inside.append("first")
    second.join(PATIENCE)
    assert inside == ["first", "second"]


def test_a_route_that_is_slow_in_a_worker_stays_there(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    play.go_on(Work("first", "r", says_so=True))
    for n in range(9):
        play.go_on(Work(f"slow {n}", "r", takes=0.002))
    assert "t-2" not in [work.by for work in play.all]
    assert play.baton._doubts == {"r": MOST_DOUBT}


def test_other_routes_stay_inline() -> None:
    play = Play(Usual(), [Work("slow", "r", says_so=True), Work("quick", "s")]).perform()
    assert play.all[1].by == "t-2"


def test_no_route_is_asked_for_while_none_is_in_doubt() -> None:
    class Routeless(Work):
        @property
        def route(self) -> str:
            pytest.fail("asked")

    Play(Usual(), [Routeless("a"), Routeless("b")]).perform()


def test_as_many_tasks_as_there_are_threads_run_at_once_and_the_rest_wait_in_order(rehearse: Rehearse) -> None:
    play = rehearse(Usual(), threads=3)
    allowed: list[str] = []
    works = [Work(f"w{n}", "r", until=lambda: bool(allowed)) for n in range(8)]
    play.go_on(*works)
    assert play.running == play.baton.busy == 3
    assert play.baton.waiting == 5
    allowed.append("to go on")
    play.go_on()
    assert play.begun == [work.name for work in works]


def test_the_loop_goes_on_while_every_thread_is_taken(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    play.go_on(Work("a", until=lambda: False), Work("b", until=lambda: False))
    play.go_on(Work("c"))
    assert play.baton.waiting == 1
    assert play.where(play.leads) == "polls"


def test_at_rest_nobody_ticks(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    play.go_on(Work("a", says_so=True), Work("b"))
    assert play.where("watch") == "sleeps"
    assert play.where("t-2") == "polls"
    assert play.where("t-1") == "waits for a job"


def test_nobody_ticks_while_every_thread_blocks(rehearse: Rehearse) -> None:
    """The watch looks after inline calls only, and there is none."""
    play = rehearse(Usual())
    play.go_on(Work("a", until=lambda: False), Work("b", until=lambda: False))
    assert play.where("watch") == "sleeps"


def test_the_watch_wakes_when_there_is_work_again(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    play.go_on(Work("a"))
    assert play.where("watch") == "sleeps"
    play.go_on(Work("slow", until=play.done("b")), Work("b"))
    assert play.answered == ["a", "b", "slow"]


def test_workers_end_when_they_have_rested_and_others_begin_when_they_are_needed(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    play.go_on(Work("a", says_so=True))
    assert set(play.stage.actors) == {"t-1", "t-2", "watch"}
    play.stage.rested.add("t-1")
    play.go_on()
    assert set(play.stage.actors) == {"t-2", "watch"}
    play.go_on(Work("b", says_so=True))
    assert set(play.stage.actors) == {"t-2", "t-3", "watch"}


def test_the_worker_that_rested_last_is_woken_first(rehearse: Rehearse) -> None:
    """So that the others can rest for long enough to end."""
    play = rehearse(Usual(), threads=4)
    play.go_on(*(Work(name, "r", until=lambda: len(play.begun) >= 3) for name in "abc"))
    for n in range(3):
        play.go_on(Work(f"w{n}", "r", takes=0.002))
    assert len({work.by for work in play.all[3:]}) == 1


# -- saying so beforehand ------------------------------------------------------------------------------------------


def test_a_task_that_says_it_will_block_hands_the_loop_over_at_once() -> None:
    play = Play(Usual(), [Work("slow", says_so=True), Work("next")])
    play.all[0].until = play.done("next")
    play.perform()
    assert play.answered == ["next", "slow"]
    assert not any("ticks" in line for line in play.stage.story[: play.stage.story.index("t-1 blocks")])


def test_saying_so_twice_hands_over_once() -> None:
    class Twice(Work):
        def run(self) -> None:
            self.loop.baton.will_block()
            super().run()

    play = Play(Usual(), [Twice("a", says_so=True)]).perform()
    assert play.hired == 2


def test_saying_so_on_a_worker_does_nothing() -> None:
    play = Play(Usual(), [Work("a", "r", says_so=True)], [Work("b", "r", says_so=True)]).perform()
    assert play.leads == "t-2"


def test_a_worker_that_says_so_leaves_the_loop_to_a_leader_that_is_in_a_call() -> None:
    script = Script(("t-1", "blocks"), ("t-2", "hands in"))
    play = Play(script, [Work("a", "r", says_so=True), Work("led", until=always)])
    play.baton._doubts["r"] = MOST_DOUBT
    play.perform()
    assert not script.lines
    assert play.leads == "t-1"
    assert play.all[1].told_by is None
    assert set(play.baton._doubts) == {"r"}


def test_saying_so_outside_of_any_task_does_nothing() -> None:
    play = Play(Usual(), [Work("a")])
    play.baton.will_block()
    play.perform()
    assert play.hired == 1


# -- every order of leader, watch and worker -----------------------------------------------------------------------

# In these the leader t-1 is in the call of "slow" and the watch has seen that call for a tick.
WATCH_HAS_SEEN_IT = ("watch", "takes the lock")


def slow_and_next(*lines: tuple[str, str], kind: type[StagedBaton] = StagedBaton) -> Play:
    """Play a call that ends by itself, then a quick one, in the order that the script forces."""
    script = Script(("t-1", "blocks"), WATCH_HAS_SEEN_IT, *lines)
    works = [Work("slow", "slow", until=always), Work("next", "next"), Work("last", "last")]
    play = Play(script, works, kind=kind).perform()
    assert not script.lines, f"never came to {script.lines[0]}"
    return play


def test_a_leader_that_is_back_before_the_watch_looks_leads_on() -> None:
    play = slow_and_next(("t-1", "tries for baton t-1"), ("t-1", "reads _calls"), ("watch", "ticks"))
    assert play.leads == "t-1"
    assert play.hired == 1


def test_a_leader_that_is_back_while_the_watch_looks_for_an_heir_leads_on_and_the_heir_rests() -> None:
    play = slow_and_next(
        ("watch", "looks at baton t-1"),
        ("watch", "reads _calls"),
        ("t-1", "tries for baton t-1"),
        ("t-1", "reads _calls"),
        ("watch", "ticks"),
    )
    assert play.leads == "t-1"
    assert play.hired == 2
    assert play.baton._doubts == {}


def test_a_leader_that_comes_just_too_late_becomes_a_worker() -> None:
    play = slow_and_next(
        ("t-1", "tries for baton t-1"),
        ("watch", "tries for baton t-1"),
        ("watch", "ticks"),
        ("t-1", "takes the lock"),
    )
    assert play.leads == "t-2"
    assert play.all[1].by == "t-2"
    assert play.baton._doubts == {"slow": 1}


def test_a_leader_that_comes_before_its_heir_has_begun_finds_the_baton_gone() -> None:
    play = slow_and_next(("watch", "ticks"), ("t-1", "waits for a job"), ("t-2", "waits for a job"))
    assert play.leads == "t-2"


def test_a_leader_that_comes_while_its_heir_has_laid_down_the_baton_does_not_take_it() -> None:
    """With one lock for all leaders it would, and lead again in the middle of a turn that is no longer its own."""
    play = slow_and_next(
        ("watch", "ticks"),
        ("t-2", "tries for baton t-2"),
        ("t-1", "waits for a job"),
    )
    assert play.leads == "t-2"
    assert [work.by for work in play.all] == ["t-1", "t-2", "t-2"]


def test_a_watch_that_takes_the_baton_from_the_next_call_hands_it_on_and_blames_nobody() -> None:
    play = slow_and_next(
        ("watch", "tries for baton t-1"),
        ("t-1", "tries for baton t-1"),
        ("t-1", "lays baton t-1 down"),
        ("t-1", "hands in"),
        ("watch", "ticks"),
    )
    assert play.leads == "t-2"
    assert play.baton._doubts == {}
    assert [work.by for work in play.all] == ["t-1", "t-1", "t-2"]


def test_a_watch_that_comes_when_the_loop_was_handed_over_already_does_nothing() -> None:
    script = Script(("t-1", "takes the lock"), WATCH_HAS_SEEN_IT, ("t-1", "blocks"), ("watch", "ticks"))
    play = Play(script, [Work("slow", says_so=True, until=always), Work("next")]).perform()
    assert not script.lines
    assert play.hired == 2
    assert play.leads == "t-2"


def test_a_task_that_says_so_when_the_watch_was_quicker_does_nothing() -> None:
    script = Script(("t-1", "takes the lock"), WATCH_HAS_SEEN_IT, ("watch", "ticks"))
    play = Play(script, [Work("slow", says_so=True, until=always), Work("next")]).perform()
    assert not script.lines
    assert play.hired == 2


@pytest.mark.parametrize(
    "leader_stops_at",
    ["writes _calls", "lays baton t-1 down", "reads _asleep", "rings", "blocks"],
)
@pytest.mark.parametrize(
    "watch_stops_at",
    ["ticks", "reads _calls", "looks at baton t-1", "writes _asleep", "sleeps"],
)
def test_no_call_goes_unwatched_while_the_watch_goes_to_sleep(watch_stops_at: str, leader_stops_at: str) -> None:
    """Whatever the watch sees of a call that begins, it is awake when the call blocks."""
    script = Script(("watch", watch_stops_at), ("t-1", leader_stops_at), ("watch", "sleeps"))
    play = Play(script, [Work("slow"), Work("next")])
    play.all[0].until = play.done("next")
    play.perform()


def held_up(ticks: int, kind: type[StagedBaton] = StagedBaton) -> Play:
    """Play a leader that has counted a call, but is held up for so many ticks before it lays the baton down."""
    passing = [("watch", "ticks"), ("watch", "reads _calls")] * ticks
    script = Script(("t-1", "lays baton t-1 down"), *passing, ("t-1", "blocks"))
    play = Play(script, [Work("slow"), Work("next")], kind=kind)
    play.all[0].until = play.done("next")
    return play.perform()


# So many quiet ticks, and the watch goes to sleep.
QUIET = round(2 * SPAN / 0.002) + 2


@pytest.mark.parametrize("ticks", range(QUIET + 4))
def test_no_call_goes_unwatched_when_the_leader_is_held_up_before_it_lays_the_baton_down(ticks: int) -> None:
    """The watch may have counted the call before it is laid open to it, and have gone to sleep over that."""
    held_up(ticks)


def test_a_worker_that_is_given_a_job_when_its_rest_is_over_does_it(rehearse: Rehearse) -> None:
    play = rehearse(Usual())
    play.go_on(Work("a", "r", says_so=True))
    play.stage.director = script = Script(("t-2", "takes the lock"), ("t-1", "takes the lock"), ("t-2", "polls"))
    play.stage.rested.add("t-1")
    play.go_on(Work("b", "r"))
    assert not script.lines
    assert play.all[1].by == "t-1"


@pytest.mark.parametrize("worker_first", [True, False])
def test_a_task_is_not_forgotten_when_a_worker_goes_to_rest_as_it_is_queued(worker_first: bool) -> None:
    both = [("t-1", "takes the lock"), ("t-2", "takes the lock")]
    order = [("t-1", "waits for a job"), ("t-2", "polls")]
    script = Script(("t-2", "takes the lock"), *both, *(order if worker_first else reversed(order)))
    works = [Work("a", "r", says_so=True), Work("b", "r"), Work("c", "r")]
    play = Play(script, works)
    works[1].until = lambda: len(play.begun) == 3
    play.perform()
    assert not script.lines


@pytest.mark.parametrize("point", ["looks at baton t-1", "reads _calls", "tries for baton t-1"])
def test_nobody_is_kept_waiting_when_the_baton_is_stopped_during_a_hand_over(rehearse: Rehearse, point: str) -> None:
    script = Script(("t-1", "blocks"), WATCH_HAS_SEEN_IT, ("watch", point), ("t-1", "tries for"), ("watch", "ticks"))
    play = rehearse(script)
    play.go_on(Work("slow", until=always, stops=True))
    assert not play.stage.actors


def test_nobody_is_hired_for_a_hand_over_when_the_baton_was_stopped_before_it(rehearse: Rehearse) -> None:
    """Nobody would let it go."""
    play = rehearse(Script(("t-1", "blocks"), WATCH_HAS_SEEN_IT, ("t-1", "hands in"), ("watch", "ticks")))
    play.go_on(Work("slow", until=always, stops=True))
    assert play.hired == 1
    play.wake()
    play.go_on()
    assert not play.stage.actors


def test_the_watch_lets_a_tick_pass_between_saying_that_it_sleeps_and_looking_whether_it_may(
    rehearse: Rehearse,
) -> None:
    """For so long a processor may keep to itself what was said."""
    play = rehearse(Usual())
    play.go_on(Work("a"))
    assert play.where("watch") == "sleeps"
    watch = [line for line in play.stage.story if line.startswith("watch")]
    since = watch[watch.index("watch writes _asleep") :]
    assert since.index("watch ticks") < since.index("watch looks at baton t-1")


# -- all orders near the usual one ---------------------------------------------------------------------------------


def a_slow_call_among_quick_ones(director: Director, kind: type[StagedBaton] = StagedBaton) -> Play:
    play = Play(director, [Work("a"), Work("slow"), Work("b")], [Work("c")], kind=kind)
    play.all[1].until = play.done("b")
    return play


def two_slow_calls_and_a_queue(director: Director) -> Play:
    play = Play(director, [Work("slow"), Work("a", "r"), Work("b", "r"), Work("c")])
    play.all[0].until = play.done("c")
    play.baton._doubts["r"] = MOST_DOUBT
    return play


def tasks_that_say_so(director: Director) -> Play:
    return Play(director, [Work("a", says_so=True), Work("b", says_so=True)])


def workers_that_rest_at_once(director: Director) -> Play:
    play = Play(director, [Work("a", "r"), Work("b", says_so=True)])
    play.baton._doubts["r"] = MOST_DOUBT
    play.stage.rested.update(f"t-{n}" for n in range(1, 20))
    return play


class AsksAgainAtOnce(StagedBaton):
    """Asks for a thread again as soon as one was refused, so that more orders come up."""

    _hire_at = property(lambda self: 0.0, lambda self, seconds: None)


def threads_that_cannot_be_had(director: Director) -> Play:
    play = Play(director, [Work("a", "r"), Work("b", says_so=True), Work("c")], kind=AsksAgainAtOnce)
    play.baton._doubts["r"] = MOST_DOUBT
    refusals = iter([False, True, False, True, False])
    play.baton.refuses = lambda: next(refusals, False)
    return play


def a_trial_with_every_slot_taken(director: Director) -> Play:
    return all_slots_taken(director, 2, "c", "d")


def a_trial_that_blocks_with_every_slot_taken(director: Director) -> Play:
    play = all_slots_taken(director, 3, "c", "d")
    play.all[2].until = play.done("d")
    return play


def a_trial_with_every_slot_taken_without_threads_to_be_had(director: Director) -> Play:
    play = all_slots_taken(director, 2, "c", "d", "e", kind=AsksAgainAtOnce)
    play.stage.rested.update(f"t-{n}" for n in range(1, 20))
    refusals = iter([False, False, False, True, True, True])
    play.baton.refuses = lambda: next(refusals, False)
    return play


def perform_all(rehearsal: Rehearsal, differences: int) -> int:
    """Perform it in all orders with so many differences to the usual one; return how many these were."""
    search = Search(differences)
    performances = 0
    for _ in search.performances():
        performances += 1
        play = rehearsal(search)
        try:
            play.perform()
        except BaseException:
            print("\n".join(play.stage.story))
            raise
    return performances


@pytest.fixture
def untraced() -> Iterator[None]:
    """Have coverage look away: it would double the time of the search, and other tests cover the same lines."""
    traces = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    yield
    threading.settrace(traces[1])  # type: ignore[arg-type]
    sys.settrace(traces[0])


@pytest.mark.parametrize(
    ("rehearsal", "differences"),
    [
        (a_slow_call_among_quick_ones, 2),
        (two_slow_calls_and_a_queue, 2),
        (tasks_that_say_so, 2),
        (workers_that_rest_at_once, 2),
        (threads_that_cannot_be_had, 2),
        (a_trial_with_every_slot_taken, 1),
        (a_trial_that_blocks_with_every_slot_taken, 1),  # 2 would take 27 s
        (a_trial_with_every_slot_taken_without_threads_to_be_had, 1),
    ],
)
@pytest.mark.usefixtures("untraced")
def test_every_order_near_the_usual_one_keeps_the_guarantees(rehearsal: Rehearsal, differences: int) -> None:
    """One leader at a time, no task twice or never, no answer left lying, never too many at once, all end."""
    assert perform_all(rehearsal, differences) > 50**differences / 3


class OneLockForAll(StagedBaton):
    """Wrong: a leader that was too late takes the baton of its heir."""

    class _worker(StagedWorker):  # noqa: N801
        def __init__(self, pool: StagedBaton, name: str) -> None:
            super().__init__(pool, name)
            self.baton = pool.__dict__.setdefault("the_only_one", self.baton)


class LooksAfterTheWatchFirst(StagedBaton):
    """Wrong: the watch goes to sleep between the look and the call."""

    def call(self, task: Task) -> bool:
        self._task = task
        task.overseen = True
        self._calls += 1
        if self._asleep:
            self._alarm.set()
        self._baton.release()
        task.run()
        return self._baton.acquire(False)


class PutsTheBatonBack(StagedBaton):
    """Wrong: takes the baton before it has an heir, finds none, and puts it back."""

    def _hand_on(self, call: int) -> bool:
        if self._baton.acquire(False):
            self._baton.release()
        return False


def test_the_search_finds_a_leader_that_takes_the_baton_of_its_heir() -> None:
    with pytest.raises(AssertionError):
        perform_all(lambda director: a_slow_call_among_quick_ones(director, kind=OneLockForAll), differences=2)


def test_a_call_goes_unwatched_when_the_leader_looks_after_the_watch_first() -> None:
    with pytest.raises(AssertionError):
        held_up(QUIET, kind=LooksAfterTheWatchFirst)


def test_nobody_leads_when_the_watch_puts_the_baton_back() -> None:
    with pytest.raises(AssertionError):
        slow_and_next(("watch", "lays baton t-1 down"), ("t-1", "takes the lock"), kind=PutsTheBatonBack)


# -- in the wild ---------------------------------------------------------------------------------------------------


class Errand:
    overseen = False

    def __init__(self, act: Callable[[], object], route: str = "r") -> None:
        self.act, self.kind = act, route

    @property
    def route(self) -> str:
        return self.kind

    def run(self) -> None:
        self.act()

    def overdue(self) -> None:
        """Go on: nobody waits for a part of it."""


class Errands:
    """A loop that is over when all errands are given out; they may add others."""

    def __init__(self, *errands: Errand, threads: int = 2, **options: Any) -> None:
        self.todo = deque(errands)
        self.baton = Baton(self.turn, threads, **options)

    def turn(self) -> bool:
        while self.todo:
            if not self.baton.call(self.todo.popleft()):
                return False
        return False

    def run(self) -> None:
        self.baton.start()
        assert self.baton.join(PATIENCE)


def names_of_threads(prefix: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(prefix)]


def test_a_call_that_blocks_is_left_behind() -> None:
    answered = threading.Event()
    waited: list[bool] = []
    Errands(Errand(lambda: waited.append(answered.wait(PATIENCE))), Errand(answered.set, "other")).run()
    assert waited == [True]


def test_as_many_calls_run_at_once_as_there_are_threads() -> None:
    meeting = threading.Barrier(5)
    Errands(*[Errand(lambda: meeting.wait(PATIENCE))] * 10, threads=5).run()


def test_with_one_thread_everything_runs_on_it_and_nothing_watches() -> None:
    where: list[Thread] = []
    names: list[str] = []

    def act() -> None:
        where.append(current_thread())
        errands.baton.will_block()
        names.extend(names_of_threads("alone"))

    errands = Errands(*[Errand(act)] * 3, threads=1, name="alone", tick=0.0001)
    errands.run()
    assert len(set(where)) == 1
    assert set(names) == {"alone-1"}


def test_the_end_of_the_loop_lets_workers_finish_and_ends_all_threads() -> None:
    over = threading.Event()
    done: list[str] = []

    def act() -> None:
        over.wait(PATIENCE)
        done.append("done")

    errands = Errands(*[Errand(act)] * 7, threads=3, name="ending")
    errands.todo.append(Errand(lambda: None, "last"))
    errands.baton.start()
    assert not errands.baton.join(0.01)
    over.set()
    assert errands.baton.join(PATIENCE)
    assert done == ["done"] * 7
    assert names_of_threads("ending") == []


def test_stopping_again_or_after_the_end_does_nothing() -> None:
    errands = Errands(Errand(lambda: None))
    errands.run()
    errands.baton.stop()
    errands.baton.stop()
    assert errands.baton.join(0)


def test_a_worker_ends_when_it_has_rested_while_the_loop_goes_on() -> None:
    seen = threading.Event()
    workers: list[Thread] = []

    def slow() -> None:
        workers.append(current_thread())
        errands.baton.will_block()

    def watch_it_end() -> None:
        workers[0].join(PATIENCE)
        if not workers[0].is_alive():
            seen.set()

    errands = Errands(Errand(slow), Errand(watch_it_end, "other"), rest=0.01)
    errands.run()
    assert seen.is_set()


def test_a_turn_that_raises_ends_everything_and_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda report: reports.append(report.exc_value))

    def turn() -> bool:
        raise LookupError("the loop is broken")

    told: list[BaseException] = []
    baton = Baton(turn, 2, failed=told.append)
    baton.start()
    assert baton.join(PATIENCE)
    assert [str(report) for report in reports] == ["the loop is broken"]
    assert told == reports


@pytest.mark.parametrize("refused", ["refused-1", "refused-watch"])
def test_start_raises_when_there_is_no_thread_to_begin_with(monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    start = Thread.start

    def refuse(thread: Thread) -> None:
        if thread.name == refused:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(Thread, "start", refuse)
    baton = Baton(lambda: pytest.fail("led"), 2, name="refused")
    with pytest.raises(RuntimeError, match="can't start new thread"):
        baton.start()
    assert baton.join(PATIENCE)


def test_a_start_that_ctrl_c_cuts_off_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Thread.start

    def cut(thread: Thread) -> None:
        start(thread)
        if thread.name == "cut-watch":
            raise KeyboardInterrupt

    monkeypatch.setattr(Thread, "start", cut)
    baton = Baton(lambda: pytest.fail("led"), 2, name="cut")
    with pytest.raises(KeyboardInterrupt):
        baton.start()
    for thread in threading.enumerate():
        if thread.name.startswith("cut-"):
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_a_wild_mixture_is_done_once_each_and_never_too_many_at_once() -> None:
    """Quick ones, sleepers, computers, those that say so; the tick is so short that the loop often changes hands."""
    dice = random.Random(4)
    lock = threading.Lock()
    done: list[int] = []
    crowds: list[Crowd] = []
    running: set[int] = set()
    most = 0

    def errand(number: int, kind: str) -> Errand:
        def act() -> None:
            nonlocal most
            with lock:
                running.add(number)
                most = max(most, len(running))
            if kind == "sleeps":
                time.sleep(0.001)
            elif kind == "computes":
                sum(range(20_000))
            elif kind == "says so":
                errands.baton.will_block()
                time.sleep(0.0005)
            with lock:
                running.remove(number)
                done.append(number)

        return Errand(act, kind if dice.random() < 0.5 else f"{kind} {number % 7}")

    kinds = dice.choices(["quick", "sleeps", "computes", "says so"], [8, 2, 1, 1], k=2000)
    errands = Errands(threads=4, tick=0.0002, rest=0.005, crowded=crowds.append, name="wild")
    errands.todo.extend(errand(number, kind) for number, kind in enumerate(kinds))
    errands.run()
    assert sorted(done) == list(range(2000))
    assert most <= 4
    assert well_told(crowds)
    assert names_of_threads("wild") == []
