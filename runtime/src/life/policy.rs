//! What an agent's manifest and its host lay down about its life.

/// What becomes of the heap between ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heap {
    /// It is kept with every tick, so that an agent wakes with its memory whatever ended its host.
    #[default]
    Tick,
    /// It is kept when the agent goes to sleep. What ends the host otherwise costs it, and the agent is told so.
    Sleep,
    /// It is never kept.
    None,
}

/// What becomes of a trigger for which an inbox has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Its sender is told, and keeps it.
    #[default]
    Refuse,
    /// It is taken, and put to the dead letters.
    DeadLetter,
}

/// Bounds of a life. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What becomes of the heap.
    pub heap: Heap,
    /// What becomes of triggers beyond the inbox.
    pub overflow: Overflow,
    /// Triggers in the inbox, and bytes of them.
    pub inbox: usize,
    /// See [`Trigger::size`](super::Trigger::size).
    pub inbox_bytes: usize,
    /// Bytes of one trigger.
    pub trigger_bytes: usize,
    /// Outcomes that are kept for who sends a trigger again.
    pub seen: usize,
    /// Bytes of a tick's result.
    pub result_bytes: usize,
    /// Sources whose numbers are kept.
    pub sources: usize,
    /// What was given up. Nothing is given up beyond it: the agent is left alone until there is room.
    pub dead_letters: usize,
    /// Alarms that are set.
    pub alarms: usize,
    /// Messages that wait for their receivers.
    pub outbox: usize,
    /// Who waits for an answer, at once.
    pub waiters: usize,
    /// Ticks that fail at a trigger before it is given up.
    pub attempts: u32,
    /// Triggers given up one after the other before the agent is left alone until somebody resumes it.
    pub quarantine: u32,
    /// The time before a trigger is tried again, doubled with each failure up to the greatest.
    pub backoff: u64,
    /// The greatest such time.
    pub backoff_most: u64,
    /// How long an agent that has nothing to do is kept awake.
    pub idle: u64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            heap: Heap::Tick,
            overflow: Overflow::Refuse,
            inbox: 1_000,
            inbox_bytes: 16 << 20,
            trigger_bytes: 1 << 20,
            seen: 1_000,
            result_bytes: 64 << 10,
            sources: 1_000,
            dead_letters: 1_000,
            alarms: 1_000,
            outbox: 1_000,
            waiters: 1_000,
            attempts: 5,
            quarantine: 5,
            backoff: 1_000_000_000,
            backoff_most: 300_000_000_000,
            idle: 60_000_000_000,
        }
    }
}

impl Policy {
    /// The time before a trigger is tried again at which so many ticks have failed, from 1.
    pub fn backoff_after(&self, attempts: u32) -> u64 {
        let doubled = 1u64
            .checked_shl(attempts.saturating_sub(1))
            .unwrap_or(u64::MAX);
        self.backoff.saturating_mul(doubled).min(self.backoff_most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_the_greatest() {
        let policy = Policy {
            backoff: 10,
            backoff_most: 35,
            ..Policy::default()
        };
        let times: Vec<u64> = [1, 2, 3, 64, 65, u32::MAX]
            .map(|attempts| policy.backoff_after(attempts))
            .into();
        assert_eq!(times, [10, 20, 35, 35, 35, 35]);
    }
}
