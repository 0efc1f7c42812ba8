/* The baton of wsgiserver/baton.py, and the loop that it is made for, as a model for spin.
 *
 *     spin -a -DCONNECTIONS=3 baton.pml && cc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m100000
 *
 * searches every order in which the leader, the workers and the watch can take their steps, and with them every moment
 * at which a client sends, a call ends, a thread has rested long enough or the predictor changes its mind. A breach of
 * a guarantee shows as a failed assertion. What waits for ever shows as an invalid end state, for the application behind
 * connection 0 returns only when all other clients have their answers: a loop that stands still while it is in there,
 * a connection that is forgotten, an answer that is laid down and never sent, each end in a deadlock.
 *
 * The names are those of baton.py. What is done under its lock is one step here, but where it meets what others do
 * without the lock. tests/test_model.py says which variants are searched, and shows that spin finds each mistake that
 * the protocol avoids (WRONG_...).
 *
 *     RESTING         a worker may end at any moment at which it has nothing to do
 *     HIRING_FAILS    the system may refuse to start a thread, any number of times, or not be asked so soon again
 *     STOPPED         somebody calls stop(), at any moment
 *     TRIALS          the predictor may want a task tried inline though every slot is taken
 *     SILENT          no task says beforehand that it will block
 *     TRUSTS          it may come to trust a task that waits
 */

#ifndef THREADS
#define THREADS 2
#endif
#ifndef CONNECTIONS
#define CONNECTIONS 3
#endif
#ifndef REQUESTS
#define REQUESTS 1           /* that each client sends, one after the other */
#endif
#ifndef TRUSTED
#define TRUSTED CONNECTIONS  /* calls of the first so many may run inline, the others go to workers */
#endif
#define POOL (THREADS + 1)
#define NOBODY 255
#define LEAD 254
#define END 253

mtype = { IDLE, READY, CALLED, LAID };

/* The baton. */
bool held[POOL] = true;      /* each worker's own lock; the leader's is the baton */
bit calls = 0;               /* counted modulo 2: the watch may take a call for another, as in life it never could */
bool lock = false;
byte busy = 0;
byte leader = 0;
bool over = false;
chan waiting = [CONNECTIONS] of { byte };
bool wanted = false;         /* the leader waits for a slot */
bool alive[POOL];
bool idle[POOL];
bool given[POOL];
byte job[POOL];
bool watch_asleep = false;
bool alarm = false;

/* The loop. */
chan ready = [CONNECTIONS] of { byte };    /* read, not run; the leader's */
chan unsent = [CONNECTIONS] of { byte };   /* run, not written; anyone appends, the leader pops */
bool poller_asleep = false;
bool woken = false;

/* What only the proof knows. */
byte answers[CONNECTIONS];   /* how many each client has */
byte answered = 0;           /* how many clients have all of theirs */
byte leading = 0;            /* how many threads are in the loop's code */
byte running = 0;            /* how many tasks run */
mtype owner[CONNECTIONS] = IDLE;
bool debt[CONNECTIONS];      /* laid down before the present leader began */

#ifdef WRONG_ONE_LOCK_FOR_ALL
#define BATON(p) held[0]
#else
#define BATON(p) held[p]
#endif
#define FINISHED (answered == CONNECTIONS)
#define OTHERS_ANSWERED (answered == CONNECTIONS - 1)
#define SENT(c) (owner[c] != IDLE || answers[c] == REQUESTS)
#define MAY_SEND(c) (!SENT(c) && (c < 2 || SENT(c - 1)))      /* all but 0 are alike, so let them begin in order */

/* An idle worker, or a new one. All are alike, so the first that fits stands for any of them. */
inline spare(who) {
    who = 0;
    do
    :: who < POOL && !idle[who] -> who++
    :: who < POOL && idle[who] -> idle[who] = false; break
    :: who == POOL ->
        who = 0;
        do
        :: who < POOL && alive[who] -> who++
        :: who < POOL && !alive[who] -> alive[who] = true; break
#ifdef HIRING_FAILS
        :: who < POOL && !alive[who] -> who = NOBODY; break
#endif
        :: who == POOL ->
            assert(over);                    /* threads + 1 are always enough, but for those that are just ending */
            who = NOBODY;
            break
        od;
        break
    od
}

inline give(who, what) {
    assert(alive[who] && !idle[who] && !given[who]);
    job[who] = what;
    given[who] = true
}

inline occupy() {
    busy++;
    assert(busy <= THREADS)
}

/* Takes the lock when it may, and leaves it free. */
inline hand_on(condition, call) {
    atomic {
        !lock && condition -> lock = true;
        if
#ifndef WRONG_HEIR_AFTER_THE_END
        :: over -> heir = NOBODY
#endif
#ifndef WRONG_HIRE_FIRST
        :: BATON(leader) -> heir = NOBODY
#endif
        :: else ->
            spare(heir);
#ifndef HIRING_FAILS
            assert(heir != NOBODY)
#endif
        fi;
    }
    if
    :: atomic { heir == NOBODY -> lock = false }
    :: atomic { heir != NOBODY && calls != call -> idle[heir] = true; heir = NOBODY; lock = false }
    :: heir != NOBODY && calls == call ->
        if
        :: atomic { BATON(leader) -> idle[heir] = true; heir = NOBODY; lock = false }
        :: atomic { !BATON(leader) -> BATON(leader) = true };
#ifdef WRONG_PUT_BACK
            if
            :: calls != call -> atomic { BATON(leader) = false; idle[heir] = true; heir = NOBODY; lock = false }
            :: else ->
#endif
            atomic {
#ifndef WRONG_LEAVE_THE_HEIR_ASLEEP
                if
                :: len(waiting) > 0 -> woken = true
                :: else
                fi;
#endif
                leader = heir; occupy(); give(heir, LEAD); heir = NOBODY; lock = false
            }
#ifdef WRONG_PUT_BACK
            fi
#endif
        fi
    fi
}

inline stop() {
    atomic {
        !lock ->
        over = true;
        n = 0;
        do
        :: n < POOL && idle[n] -> idle[n] = false; give(n, END); n++
        :: n < POOL && !idle[n] -> n++
        :: n == POOL -> break
        od;
        n = 0;
        alarm = true
    }
}

/* The task: the application may say beforehand that it will block, takes any time, and lays its answer down. */
inline run_task() {
    atomic {
        assert(owner[c] == CALLED);
        running++;
        assert(running <= THREADS)
    }
    if
#ifndef SILENT
    :: hand_on(leader == me, calls)
#endif
    :: true
    fi;
    (c != 0 || OTHERS_ANSWERED || over);
#ifdef WRONG_WAKE_FIRST
    if
    :: poller_asleep -> woken = true
    :: else
    fi;
#endif
    atomic { owner[c] = LAID; running--; unsent!c; c = 0 };
#ifndef WRONG_WAKE_FIRST
    if
    :: poller_asleep ->
#ifdef WRONG_SAY_SO_LAST
        woken = true;
        poller_asleep = false
#else
        poller_asleep = false;                          /* the next who hands in need not wake it too */
        woken = true
#endif
    :: else
    fi
#endif
}

inline look_for_the_watch() {
    if
    :: watch_asleep -> alarm = true
    :: else
    fi
}

proctype Thread(byte me) {
    byte c = 0;
    bit first = 0;               /* what it runs inline was the first in the queue */
    bit fresh = 0;               /* it has just begun to lead, and has not caught up */
    bit catching = 0;            /* it runs those who wait, between two turns */
    byte n = 0;
    byte heir = NOBODY;

end_not_hired:
    alive[me];
waiting_for_a_job:
    if
    :: atomic {
        given[me] ->
        given[me] = false;
        c = job[me];
        job[me] = 0;
        if
        :: c == LEAD -> c = 0; goto lead
        :: c == END -> c = 0; alive[me] = false; goto end_not_hired
        :: else
        fi
        }
#ifdef RESTING
    /* Not when all is over: that nobody is forgotten at the end must not hang on this. */
    :: idle[me] && !over ->
#ifdef WRONG_REST
        idle[me] = false;
        atomic { alive[me] = false; goto end_not_hired }
#else
        atomic {
            !lock ->
            if
            :: idle[me] -> idle[me] = false; alive[me] = false; goto end_not_hired
            :: else -> goto waiting_for_a_job
            fi
        }
#endif
#endif
    fi;

work:
    run_task();

next:
#ifdef WRONG_LOOK_OUTSIDE
    if
    :: len(waiting) > 0
    :: len(waiting) == 0 -> atomic { !lock -> busy--; idle[me] = true; goto waiting_for_a_job }
    fi;
#endif
    atomic {
        !lock ->
        if
        :: len(waiting) > 0 && !wanted -> waiting?c; goto work
        :: len(waiting) == 0 || wanted
#ifdef TRUSTS
        :: len(waiting) > 0 && !wanted && !over     /* nobody doubts the first: it is the leader's */
#endif
        fi;
        busy--;
        wanted = false;
#ifndef WRONG_NO_WAKING
        if
        :: len(waiting) > 0 -> woken = true
        :: else
        fi;
#endif
        if
        :: over -> alive[me] = false; goto end_not_hired
        :: else -> idle[me] = true; goto waiting_for_a_job
        fi
    };

lead:
    atomic {
        leading++;
        assert(leading == 1);
        do
        :: n < CONNECTIONS -> debt[n] = (owner[n] == LAID); n++
        :: else -> break
        od;
        n = 0;
        fresh = true
    }
#ifdef WRONG_RUN_FIRST
    goto run_phase;
#endif

turn:
    if
    :: over -> goto turned
    :: else
    fi;

write:
    do
    :: atomic {
        len(unsent) > 0 ->
        assert(leading == 1);
        unsent?c;
        assert(owner[c] == LAID);
        owner[c] = IDLE;
        debt[c] = false;
        answers[c]++;
        if
        :: answers[c] == REQUESTS -> answered++
        :: else
        fi;
        c = 0
        }
    :: len(unsent) == 0 -> break
    od;
    if
    :: fresh && len(ready) == 0 -> fresh = false; goto poll     /* who waits is looked after when a turn is over */
    :: else -> fresh = false
    fi;

run_phase:
    do
    :: len(ready) == 0 -> break
    :: len(ready) > 0 && len(unsent) > 0 -> break     /* it has run for long enough: write what is done */
    :: atomic {
        len(ready) > 0 ->
        assert(leading == 1);
        ready?c;
        assert(owner[c] == READY);
        owner[c] = CALLED
        }
        /* call(): the predictor says the one or the other */
        if
        :: true -> goto to_a_worker
        :: busy < THREADS && c < TRUSTED && len(waiting) == 0
        fi;
inline_call:
        atomic {
            assert(len(waiting) == 0 || first);       /* it overtakes nobody */
            do
            :: n < CONNECTIONS -> assert(!debt[n]); n++
            :: else -> break
            od;
            n = 0;
            calls = 1 - calls
        }
#ifdef WRONG_LOOK_FIRST
        look_for_the_watch();
#endif
        atomic { leading--; BATON(me) = false };
#ifndef WRONG_LOOK_FIRST
        look_for_the_watch();
#endif
        run_task();
        if
        :: atomic { !BATON(me) -> BATON(me) = true; leading++; assert(leading == 1) }
        :: BATON(me) ->
#ifdef WRONG_LEAD_ON
            leading++
#else
            first = false;
            catching = false;
            goto turned
#endif
        fi;
        goto called;
#ifdef TRIALS
await_slot:
        /* It waits for a little while, which may be over at any moment. */
        atomic {
            !lock ->
            if
#ifndef WRONG_TRY_WITHOUT_A_SLOT
            :: wanted -> wanted = false; goto called
#endif
            :: len(waiting) == 0 -> wanted = false; goto called
            :: else -> wanted = false; waiting?c; first = true; goto inline_call
            fi
        };
#endif
to_a_worker:
        atomic {
            !lock ->
            if
            :: catching
            :: !catching -> waiting!c
            fi;
            c = 0;
            do
            :: len(waiting) > 0 && busy < THREADS ->
                waiting?c;
                first = true;
                if
#ifdef TRUSTS
                :: goto inline_call
#endif
                :: spare(heir);
                    if
                    :: heir == NOBODY -> goto inline_call
                    :: else -> first = false; occupy(); give(heir, c); heir = NOBODY; c = 0
                    fi
                fi
            :: else -> break
            od;
#ifdef TRIALS
            if
            :: true
            :: len(waiting) > 0 -> wanted = true; goto await_slot
            fi
#endif
        };
called:
        first = false;
        if
        :: catching -> goto catch_up
        :: else
        fi
    od;

catch_up:
    catching = false;
#if defined(TRIALS) || defined(TRUSTS)
    if
    :: len(waiting) > 0 && busy < THREADS -> catching = true; goto to_a_worker
    :: true                                         /* nobody is left, or the time is over */
    fi;
#ifndef WRONG_SLEEP_WHILE_SOME_WAIT
    if
    :: len(waiting) > 0 && busy < THREADS -> woken = true
    :: else
    fi;
#endif
#endif
    if
    :: len(unsent) > 0 || len(ready) > 0 -> goto turn
    :: else
    fi;

poll:
    poller_asleep = true;
#ifndef WRONG_NO_LAST_LOOK
    if
    :: len(unsent) > 0 -> poller_asleep = false; goto turn
    :: else
    fi;
#endif
    if
    :: woken
    :: FINISHED
    :: MAY_SEND(0)
    :: MAY_SEND(1)
#if CONNECTIONS > 3
    :: MAY_SEND(2)
#endif
    :: MAY_SEND(CONNECTIONS - 1)
    fi;
    poller_asleep = false;
    woken = false;
    if
    :: FINISHED -> goto turned
    :: else
    fi;

read:
    atomic {
        do
        :: n < CONNECTIONS && MAY_SEND(n) -> owner[n] = READY; ready!n; n++
        :: n < CONNECTIONS -> n++            /* nothing from this one, or not yet */
        :: n == CONNECTIONS -> break
        od;
        n = 0;
        assert(leading == 1);
        goto turn
    };

turned:
    atomic {
        !lock ->
        if
#ifdef WRONG_ASK_THE_BATON
        :: BATON(leader) && leader != me -> goto next
#else
        :: leader != me -> goto next
#endif
        :: else -> leading--
        fi;
        if
#ifndef WRONG_LEAVE_WHO_WAITS
        :: len(waiting) > 0 && busy < THREADS -> occupy(); first = true
#endif
        :: else
        fi
    };
    stop();
    atomic {
        if
        :: first -> first = false; goto next
        :: else
        fi;
        assert(len(waiting) == 0 || busy > 0);      /* somebody is left to run those who wait */
        alive[me] = false;
        goto end_not_hired
    }
}

proctype Watch() {
    bit seen = 0;
    bit now = 0;
    byte whose = 0;
    byte heir = NOBODY;

    do
    :: over -> break
    :: else ->
        now = calls;
        if
        :: now != seen -> seen = now
        :: else ->
            whose = leader;
            if
            :: BATON(whose) ->
                atomic { alarm = false; watch_asleep = true };
#ifndef WRONG_SLEEP_AT_ONCE
                whose = leader;
                if
                :: BATON(whose) && !over -> alarm
                :: else
                fi;
#else
                alarm;
#endif
                watch_asleep = false;
                seen = calls
            :: else ->
                hand_on(true, seen)
            fi
        fi
    od
}

init {
    byte n = 0;
    atomic {
        alive[0] = true;
        give(0, LEAD);
        do
        :: n < POOL -> run Thread(n); n++
        :: else -> break
        od;
        n = 0;
        run Watch()
    }
#ifdef STOPPED
    stop();
    woken = true
#endif
}
