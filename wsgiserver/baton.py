"""The baton: takes a loop and its tasks, decides which thread leads and which runs what; `server` sets it going.

It knows no HTTP and no sockets. One thread of a small pool, the *leader*, calls ``turn()`` again and again. There the
loop gives each task to `Baton.call`, which runs it inline, or on a *worker* where the `predictor` says that its route
blocks. When an inline call takes too long, a *watch* gives the loop to another thread; it also looks for `crowds`.

The facts
    1. Each thread of the pool has a lock; the leader's is the baton. It lays it down before an inline call, and takes
       it up afterwards if it still can. Whoever else takes it meanwhile has ended its lead, for good.
    2. A thread of the pool is idle, or leads, or has one of ``threads`` slots (``busy`` counts them). Who gives out a
       job takes the slot for it first; the worker gives it back when it comes for more.
    3. Only for the leader are slots taken and tasks queued, and queued only when no slot is free or others wait. A
       worker that is done takes the next queued task when its route is in doubt. Else it gives its slot back, and the
       leader runs the next inline, between two turns; or within one, where it waits for a slot, for a trial.
What they mean for us
    - Nobody can put a taken baton back: the leader may have come for it in between, and have left. So the watch first
      finds the thread that will lead, the heir, and only then takes the baton.
    - While a call runs inline a slot is free, so among ``threads + 1`` threads an heir can always be found or hired.
    - A leader that sees a free slot and an empty queue overtakes nobody with its inline call. It reads both without the
      lock, as nobody else raises ``busy`` or queues anything while it holds the baton.
    - The leader lays the baton down, then looks whether the watch sleeps; the watch says that it sleeps, lets a tick
      pass, then looks whether the baton lies there. At least one sees the other, so no call goes unwatched.
The guarantees (tests/models/baton.pml is a model of this, in which every order of events was searched for a breach)
    - Never two leaders, and never none before the loop is over. What the loop owns, one thread at a time touches.
    - At most ``threads`` tasks run at once; queued ones begin in the order they came in; none is forgotten.
    - At rest nothing ticks: all threads wait for a lock, but the leader, who waits where its turn does.
What must be atomic
    Acquiring and releasing a lock, by nature. Reading and storing an attribute that others use without ``_lock``
    (``busy``, ``_calls``, ``_task``, ``_tried``, ``_leader``, ``_baton``, ``_crew``, ``_asleep``, ``_crowd``,
    ``_watches``, ``_over``, a worker's ``jobs``): one reference, whole on every build of Python, also the free-threaded
    ones, as is ``in`` on a dict, and asking a deque whether it is empty. Only the leader counts ``_calls`` up, and a
    worker's jobs who gives it one. The tick in the last point above outlasts any store buffer, so it needs no fence.
What was tried
    - One lock for all leaders: one that comes back from a call it has lost may find the baton that its heir has laid
      down, and take it for its own. The model showed it; and also, that the leader must look after the watch last.
    - A lock of Python code: an exception from outside, Ctrl+C say, right behind its taking leaves it taken for ever.
"""

import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from enum import Enum
from itertools import count
from threading import TIMEOUT_MAX, Event, Lock, Thread, current_thread
from time import monotonic, sleep
from typing import Protocol

from wsgiserver.crowds import HEAVY, NONE, Crowd, Crowds
from wsgiserver.predictor import SLEPT, Predictor
from wsgiserver.watch import Sight, Watch

# A watch that is let go on so many seconds late has perhaps seen the whole machine stand still.
LATE = 0.001
# Seconds after which a lock that was taken is looked at again.
AGAIN = 0.00001
# Seconds after which a thread that was not to be had is asked for again.
HIRE_AGAIN = 0.1


class Task(Protocol):
    """A piece of work; for the server, one exchange."""

    # Set before it is run: when it takes long, ``overdue`` is called, and soon.
    overseen: bool

    @property
    def route(self) -> str:
        """Which kind of work this is, for the `Predictor`; any thread may ask, until the task has run."""

    def run(self) -> None:
        """Do it, on whichever thread. It must not raise."""

    def overdue(self) -> None:
        """Note that it takes long, or said that it will; on any thread, again and again, before and after it perhaps.

        It must be quick, not raise, and not use the baton.
        """


def _once_free(lock: Lock) -> Lock:
    """Give the lock when nobody has it, so that to take it hardly ever means to wait in it.

    Who waits in a lock has given the GIL away, and is given the lock before it has the GIL back; everyone who has the
    GIL until then comes to wait behind it, one after the other: twice as many switches of threads.
    """
    while lock.locked():
        sleep(AGAIN)
    return lock


# What a worker can be given beside a task: the loop, and leave to go.
_Order = Enum("_Order", ["LEAD", "END"])


class _Worker(Thread):
    """A thread of the pool: its lock, and the job that it was given."""

    def __init__(self, pool: "Baton", name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.pool = pool
        self.baton, self.given = Lock(), Lock()
        self.baton.acquire()
        self.given.acquire()
        self.job: Task | _Order = _Order.END
        self.clock: int | None = None  # of its processor time, where the system has one
        self.jobs = 0  # it has had so many

    def give(self, job: Task | _Order) -> None:
        self.job = job
        self.jobs += 1
        self.given.release()

    def computed(self) -> float | None:
        """Seconds of processor time that it has had, where the system tells; for any thread."""
        try:
            return None if self.clock is None else time.clock_gettime(self.clock)
        except OSError:  # it has ended
            return None

    def run(self) -> None:
        with suppress(AttributeError, OSError):
            self.clock = time.pthread_getcpuclockid(self.ident or 0)
        self.pool._guard(lambda: self.pool._serve(self))


class Baton:
    """Who leads the loop, and who runs its tasks.

    - ``turn``: one turn of the loop; True to be called again, False when it is over or `call` has returned False.
    - ``threads``: how many tasks may run at once. With 1, the leader runs them all, always on the same thread.
    - ``tick``: seconds that a call may take before the loop goes on without it.
    - ``rest``: seconds without work after which a worker ends.
    - ``crowded``: called with the `Crowd` of threads that are seen to keep the GIL from the leader, each time that it
      becomes another; never twice at once. It must be quick, not raise, and not use the baton.
    - ``failed``: called with what ended a thread, and with it the baton, against all expectation.
    - ``refused``: called with why no thread was to be had, each time; the baton goes on with those there are. As quick.
    - ``wake``: called, on any thread, when the leader is not to wait in its turn, or in the next; as quick.
    - ``idle_time``: gives the seconds that leaders have waited in their turns, with nothing to do; on any thread.
    - ``name``: begins the names of the threads.
    """

    _worker = _Worker

    def __init__(
        self,
        turn: Callable[[], bool],
        threads: int,
        *,
        tick: float = 0.002,
        rest: float = 60.0,
        crowded: Callable[[Crowd], object] = lambda crowd: None,
        failed: Callable[[BaseException], object] = lambda error: None,
        refused: Callable[[Exception], object] = lambda error: None,
        wake: Callable[[], object] = lambda: None,
        idle_time: Callable[[], float] = lambda: 0.0,
        name: str = "wsgiserver",
    ) -> None:
        self.turn, self.crowded, self.failed, self.wake = turn, crowded, failed, wake
        self.idle_time, self.refused, self.name = idle_time, refused, name
        self.threads, self.tick, self.rest = threads, tick, rest
        # The leader's.
        self._calls = 0  # inline calls begun
        self._task: Task | None = None  # the last of them
        self._tried: str | None = None  # the route in doubt that is called inline for a trial
        # Under the lock.
        self._lock = Lock()
        self._leader: _Worker | None = None
        self._baton = Lock()  # the leader's
        self.busy = 0  # tasks that workers run, beside the leader; anyone may read it
        self._waiting: deque[Task] = deque()
        self._wanted = False  # the leader waits for a slot, and the next worker that is done gives it back
        self._slot = Event()
        self._idle: list[_Worker] = []  # who worked last is woken first
        self._predictor = Predictor()
        self._doubted, self._doubts = self._predictor.doubted, self._predictor.doubts  # for anyone
        self._crew: list[Thread] = []
        self._numbers, self._hire_at = count(1), 0.0  # of the threads; when one may be asked for
        self._over = False
        # The watch's.
        self._crowd = NONE  # anyone may read this and the next
        self._watches = threads > 1  # and not in a heavy crowd, which keeps the watch waiting too
        self._crowds = Crowds()
        self._asleep = False
        self._alarm = Event()
        self._pause, self._clock = sleep, monotonic
        self._let_begin: Callable[[], object] = lambda: sleep(0)

    @property
    def waiting(self) -> int:
        """How many tasks wait for a free slot; for any thread."""
        return len(self._waiting)

    @property
    def stuck(self) -> bool:
        """Whether the only thread is in a task, so that the loop stands still; for any thread."""
        return self.threads == 1 and self._leader is not None and not self._baton.locked()

    # For the owner, on any thread.
    def start(self) -> None:
        """Let the first leader begin, once. Raises RuntimeError when the system gives no thread."""
        with _once_free(self._lock):
            leader = self._hire()
            self._leader, self._baton = leader, leader.baton
            try:
                if self.threads > 1:
                    watch = Thread(target=self._guard, args=[self._watch], name=f"{self.name}-watch", daemon=True)
                    watch.start()
                    self._crew.append(watch)
            except BaseException:  # Ctrl+C too
                self._over = True
                leader.give(_Order.END)
                self._alarm.set()
                raise
            leader.give(_Order.LEAD)

    def stop(self) -> None:
        """Begin no further turn; a leader that waits within one is the caller's to wake. May be called again.

        The baton does so itself when the loop is over. Tasks that were given or wait are run to their end.
        """
        with _once_free(self._lock):
            self._over = True
            while self._idle:
                self._idle.pop().give(_Order.END)
        self._alarm.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all threads have ended, or for ``timeout`` seconds; return whether they have."""
        end = monotonic() + (TIMEOUT_MAX if timeout is None else timeout)
        while alive := [t for t in self._crew if t.is_alive() and t is not current_thread()]:
            if (left := end - monotonic()) <= 0:
                return False
            alive[0].join(left)
        return True

    # For the loop, on the leader, within a turn.
    def call(self, task: Task | None) -> bool:
        """Run the task inline or give it to a worker; return whether this thread still leads.

        If not, another thread does: leave ``turn()``, returning False, and touch nothing that the loop owns. Those who
        wait come first; where there is no task, they alone.
        """
        # The quick path, 0.2 µs: no lock but the baton, and no route is asked for while none is in doubt.
        if self.busy >= self.threads or self._waiting or (self._doubts and task and self._doubted(task.route)):
            task = self._give(task)
        if task is None:
            return True
        self._task = task
        task.overseen = self._watches
        self._calls += 1
        baton = self._baton
        baton.release()
        if self._asleep:
            self._alarm.set()
        task.run()
        if not baton.acquire(False):
            return False
        if self._tried is not None:
            with _once_free(self._lock):
                self._predictor.acquit(self._tried)
            self._tried = None
        return True

    def _give(self, task: Task | None) -> Task | None:
        """Queue the task, and give workers the first of the queue; return one to run inline."""
        with _once_free(self._lock):
            if task is not None:
                self._waiting.append(task)
            employed = False
            while self._waiting and self.busy < self.threads:
                route = self._waiting[0].route
                doubted = self._doubted(route)
                worker = self._spare() if doubted and not self._predictor.counts_to_trial(route) else None
                first = self._waiting.popleft()
                if worker is None:
                    return self._try(first) if doubted else first
                self._employ(worker, first)
                employed = True
            self._wanted = due = bool(self._waiting) and self._predictor.counts_to_trial(self._waiting[0].route)
        if due:
            return self._await_slot()
        # A cohort that is given out first, and begins then, together, ends together too, and its clients wait for one
        # another ever after: 4,100 requests a second instead of 5,700, where 64 sleep for 10 ms.
        if employed and self._crowd is NONE:
            self._let_begin()  # in a crowd, the others would have the GIL first, each in its turn
        return None

    def _await_slot(self) -> Task | None:
        """Wait a little for a worker to come back, and return the first of the queue, for a trial in that slot."""
        self._slot.wait(self.tick / 2)
        with _once_free(self._lock):
            self._slot.clear()
            if self._wanted or not self._waiting:  # nobody came; or the others have taken all
                self._wanted = False
                return None
            return self._try(self._waiting.popleft())

    def _try(self, task: Task) -> Task:
        """Have the call of a task acquit its route, if it comes back in time."""
        self._tried = task.route
        self._predictor.try_again_later(task.route)
        return task

    def _catch_up(self) -> bool:
        """Run those who wait and whom nobody doubts, for a tick; return whether this thread still leads."""
        until = self._clock() + self.tick
        while self._waiting and self.busy < self.threads and self._clock() < until:
            if not self.call(None):
                return False
        if self._waiting and self.busy < self.threads:
            self.wake()
        return True

    # For tasks, on any thread.
    def will_block(self) -> None:
        """Hand the loop over at once, if the task that says so runs inline; elsewhere there is nothing to do."""
        with _once_free(self._lock):
            if self._leader is current_thread() and self._task is not None:
                self._task.overdue()
                self._hand_on(self._calls)

    # For any thread that holds the lock.
    def _hand_on(self, call: int) -> bool:
        """Give the loop to an heir, if the leader is in this call; return whether it has one."""
        heir = None if self._over or self._baton.locked() else self._spare()
        if heir is None:
            return False
        if self._calls != call or not self._baton.acquire(False):
            self._idle.append(heir)
            return False
        # No way back now, even when this call has just ended and another has begun. But then it was quick.
        if self._calls == call and self._task is not None:
            self._predictor.learn(self._task.route, call, blocked=True)
        self._tried = None
        if self._waiting:
            self.wake()
        self._leader, self._baton = heir, heir.baton
        self._employ(heir, _Order.LEAD)
        return True

    def _employ(self, worker: _Worker, job: Task | _Order) -> None:
        self.busy += 1
        worker.give(job)
        if self._asleep:
            self._alarm.set()  # it may compute

    def _spare(self) -> _Worker | None:
        if self._idle:
            return self._idle.pop()
        if self.threads > 1 and self._clock() >= self._hire_at:
            try:
                return self._hire()
            except (RuntimeError, MemoryError) as error:
                self._hire_at = self._clock() + HIRE_AGAIN
                self.refused(error)
        return None

    def _hire(self) -> _Worker:
        worker = self._worker(self, f"{self.name}-{next(self._numbers)}")
        worker.start()
        self._crew = [*(t for t in self._crew if t.is_alive()), worker]
        return worker

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # no memory, say, or a task against its word: better an end that is seen
            self.stop()
            self.failed(error)
            raise

    # For the workers, each on its own thread.
    def _serve(self, me: _Worker) -> None:
        job = self._wait(me)
        while job is not _Order.END:
            if job is not _Order.LEAD:
                self._work(job)
            elif self._lead(me):
                return
            job = self._next(me)

    def _wait(self, me: _Worker) -> Task | _Order:
        while not me.given.acquire(timeout=self.rest):
            with _once_free(self._lock):
                if me in self._idle:
                    self._idle.remove(me)
                    return _Order.END
        return me.job

    def _lead(self, me: _Worker) -> bool:
        """Turn the loop until it is over or lost; False where this has a slot then, of the lost call or for others."""
        while not self._over and self.turn() and (not self._waiting or self._catch_up()):
            pass
        with _once_free(self._lock):
            if self._leader is not me:
                return False
            some_wait = bool(self._waiting) and self.busy < self.threads
            self.busy += some_wait
        self.stop()
        return not some_wait

    def _work(self, task: Task) -> None:
        route, began, computed = task.route, self._clock(), time.thread_time()
        task.overseen = False
        task.run()
        took = self._clock() - began
        # In a crowd it may have waited for the GIL instead.
        slept = took - (time.thread_time() - computed) if self._crowd is NONE else 0.0
        blocked = took >= self.tick or slept >= SLEPT
        if self._doubted(route):  # else it was acquitted meanwhile
            with _once_free(self._lock):
                self._predictor.learn(route, self._calls, blocked=blocked)

    def _next(self, me: _Worker) -> Task | _Order:
        """Come back with the slot of the last job: keep it for a queued task, or give it back and be idle."""
        with _once_free(self._lock):
            if self._waiting and not self._wanted and (self._over or self._doubted(self._waiting[0].route)):
                me.jobs += 1
                return self._waiting.popleft()
            self.busy -= 1
            if self._wanted:
                self._wanted = False
                self._slot.set()
            if self._waiting:
                self.wake()
            if self._over:
                return _Order.END
            self._idle.append(me)
        return self._wait(me)

    # For the watch, on its own thread.
    def _computed(self) -> float:
        """Seconds that the leader has computed; endlessly more each time where that cannot be told."""
        computed = self._leader.computed() if self._leader is not None else None
        return monotonic() if computed is None else computed

    def _computed_beside(self, process: float) -> dict[Hashable, float]:
        """Seconds that each thread of the process but the leader has computed, by its job, where that can be told.

        The threads that are not of the pool, the application's own, have what the ``process`` has had, and neither the
        pool nor the watch.
        """
        pool = [t for t in self._crew if isinstance(t, _Worker) and t.is_alive()]
        told = {worker: computed for worker in pool if (computed := worker.computed()) is not None}
        beside: dict[Hashable, float] = {(w, w.jobs): told[w] for w in told if w is not self._leader}
        if len(told) == len(pool):
            beside["others", *pool] = process - time.thread_time() - sum(told.values())
        return beside

    def _tick(self, seconds: float) -> bool:
        """Let so many seconds pass, and look for a crowd; return whether they passed in about that time."""
        began = self._clock()
        self._pause(seconds)
        now = self._clock()
        late = now - began - seconds
        self._crowds.waits(late)
        if self._crowds.is_due(now):
            process = time.process_time()
            self._crowds.look(now, self._computed_beside(process), process)
        self._set_crowd(self._crowds.crowd(now))
        return late < LATE

    def _set_crowd(self, crowd: Crowd) -> None:
        if crowd is not self._crowd:
            self._crowd = crowd
            self._watches = self.threads > 1 and crowd is not HEAVY
            self.crowded(crowd)

    def _watch(self) -> None:
        """Look after the calls of the leader while there are any, and hand the loop on where one takes too long."""
        watch = Watch(self.tick)
        watch.rested(self._calls)
        while not self._over:
            in_time = self._tick(watch.pause(self._crowd))
            calls = self._calls
            active = self._clock() - self.idle_time()
            sight = watch.look(calls, not self._baton.locked(), active, self._computed(), in_time)
            if sight is Sight.REST:
                self._rest()
                watch.rested(self._calls)
            elif sight is not Sight.NOTHING:
                if self._task is not None:
                    self._task.overdue()
                if sight is Sight.HAND_ON:
                    with _once_free(self._lock):
                        trial = self._tried is not None  # that it blocks is no news
                        if self._hand_on(calls) and not trial:  # else it is back, or no thread was to be had
                            watch.be_alert()
        self._set_crowd(NONE)

    def _rest(self) -> None:
        """Sleep until somebody begins to work."""
        self._set_crowd(NONE)
        self._alarm.clear()
        self._asleep = True
        self._pause(self.tick)
        if self._baton.locked() and not self._over:
            self._alarm.wait()
        self._asleep = False
