/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event is sent without a lock between sender and waiter: a vCPU that polls
 * (SCHEDOP_poll) is never left asleep while its port is pending.
 *
 * Memory is that of x86 (SDM vol. 3, 9.2.2): a plain store waits in the CPU's
 * buffer while its later loads go ahead; a locked instruction empties the buffer
 * first.  Each step quotes its line of core/hypercall/evtchn.c; tests/spin/run
 * looks for the quotes.  With -DMUTATION=n the n-th thing is left out, and the
 * checker has to find the lost event.
 */
#ifndef MUTATION
#define MUTATION 0
#endif

#define PENDING 0 /* the port's bit in shared_info          */
#define POLLING 1 /* the vCPU's bit in evtchn_table.polling */
#define HOLD    2 /* HOLD_POLL in v->holds                  */
#define SENDERS 2
#define WAITER  0 /* the CPU; senders are 1 ... */

byte memory[3];
chan buffer[3] = [4] of {byte, byte}; /* stores on their way, by CPU */

#define PLAIN(cpu, at, value)  buffer[cpu]!at,value
#define LOCKED(cpu, at, value) atomic { empty(buffer[cpu]) -> memory[at] = value }

/* A CPU's buffer drains at any time. */
proctype drain(byte cpu)
{
    byte at, value;

end:
    do
    :: atomic { buffer[cpu]?at,value -> memory[at] = value }
    od
}

/* evtchn_poll_begin, then the vCPU sleeps until nothing holds it. */
proctype waiter()
{
    byte pending, times;

    do
    :: times < 3 ->
        times++;
#if MUTATION == 1 /* announced too late */
        pending = memory[PENDING];
#endif
#if MUTATION == 2 /* announced by plain stores */
        PLAIN(WAITER, HOLD, 1);
        PLAIN(WAITER, POLLING, 1);
#else
        /* "__atomic_fetch_or(&v->holds, HOLD_POLL, __ATOMIC_SEQ_CST);" */
        LOCKED(WAITER, HOLD, 1);
        /* "set_bit(v->id, d->evtchns->polling);" */
        LOCKED(WAITER, POLLING, 1);
#endif
#if MUTATION != 1
        /* "pending |= is_pending(d, ports[i]);" */
        pending = memory[PENDING];
#endif
#if MUTATION == 3 /* not looked again */
        pending = 0;
#endif
        /* "if (pending) evtchn_poll_end(v);" */
        if
        :: pending ->
            LOCKED(WAITER, POLLING, 0);
            LOCKED(WAITER, HOLD, 0)
        :: else
        fi;
end_asleep: /* "sched_stop(v);" */
        (empty(buffer[WAITER]) && memory[HOLD] == 0);
        /* The guest takes the event. */
        LOCKED(WAITER, PENDING, 0)
    :: else -> break
    od
}

/* set_pending, wake_pollers. */
proctype sender(byte cpu)
{
    byte before;

#if MUTATION == 4 /* pending by a plain store */
    before = memory[PENDING];
    PLAIN(cpu, PENDING, 1);
#else
    /* "if (test_and_set_bit(port, d->shared_info->evtchn_pending)) return;" */
    atomic { empty(buffer[cpu]) -> before = memory[PENDING]; memory[PENDING] = 1 }
#endif
    if
    :: before -> skip /* who was first tells */
    :: else ->
        /* "if (unlikely(READ_ONCE(polling[0]) | READ_ONCE(polling[1]))) wake_pollers(d, port);" */
        if
        :: memory[POLLING] ->
            /* "clear_bit(v->id, v->domain->evtchns->polling);" */
            LOCKED(cpu, POLLING, 0);
#if MUTATION != 5 /* woken, but still held */
            /* "__atomic_fetch_and(&v->holds, ~HOLD_POLL, __ATOMIC_SEQ_CST);" */
            LOCKED(cpu, HOLD, 0)
#endif
        :: else
        fi
    fi
}

/* When nothing moves any more, nobody sleeps over an event. */
proctype watch()
{
    timeout -> assert(!(memory[HOLD] && memory[PENDING]))
}

init {
    byte i;

    atomic {
        run drain(WAITER);
        run waiter();
        i = 1;
        do
        :: i <= SENDERS -> run drain(i); run sender(i); i++
        :: else -> break
        od;
        run watch()
    }
}
