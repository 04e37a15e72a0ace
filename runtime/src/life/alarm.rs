//! When an agent wants to be woken.

use super::trigger::{Kind, Name, Time, Trigger};

/// The shortest time between two firings of one alarm: 1 s. An alarm that fires faster is a loop.
pub const PERIOD_MIN: u64 = 1_000_000_000;
/// Bytes of an alarm's name, so that what it fires has a [`Name`], too.
pub const ALARM_NAME_MAX: usize = 128;

/// The times of an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Once.
    At(Time),
    /// Again and again, so many nanoseconds apart, first after that time.
    Every(u64),
}

/// What becomes of times that came while nothing ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// One trigger stands for all of them.
    #[default]
    Coalesce,
    /// A trigger each, one after the other.
    Each,
}

/// An alarm that has been set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    schedule: Schedule,
    missed: Missed,
    /// Which of the agent's alarms this is: setting one again under its name makes another.
    serial: u64,
    /// How many triggers it has made. With `serial` it names the next one, whatever the clock does meanwhile.
    fired: u64,
    next: Time,
}

/// What is no alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlarmError {
    /// Its name is too long.
    #[error("an alarm's name has {ALARM_NAME_MAX} bytes at most")]
    Name,
    /// It would fire more often than [`PERIOD_MIN`] allows.
    #[error("an alarm fires once in a second at most")]
    Period,
}

impl Alarm {
    /// An alarm that is set now, the `serial`-th thing of its agent that is numbered.
    ///
    /// # Errors
    /// [`AlarmError::Period`]
    pub fn new(
        schedule: Schedule,
        missed: Missed,
        serial: u64,
        now: Time,
    ) -> Result<Alarm, AlarmError> {
        let next = match schedule {
            Schedule::At(at) => at,
            Schedule::Every(period) if period < PERIOD_MIN => return Err(AlarmError::Period),
            Schedule::Every(period) => now.after(period),
        };
        Ok(Alarm {
            schedule,
            missed,
            serial,
            fired: 0,
            next,
        })
    }

    /// When it fires. A clock that was set back doesn't make anybody wait for longer than the period.
    pub fn due(&self, now: Time) -> Time {
        match self.schedule {
            Schedule::At(_) => self.next,
            Schedule::Every(period) => self.next.min(now.after(period)),
        }
    }

    /// The trigger of an alarm that is due, and the alarm as it is afterwards, if it fires again.
    pub fn fire(&self, name: &Name, now: Time) -> Option<(Trigger, Option<Alarm>)> {
        let due = self.due(now);
        if due > now {
            return None;
        }
        let fired = self.fired + 1;
        let (firings, after) = match self.schedule {
            Schedule::At(_) => (1, None),
            Schedule::Every(period) => {
                let firings = match self.missed {
                    Missed::Each => 1,
                    Missed::Coalesce => 1 + (now.0 - due.0) / period,
                };
                let next = due.after(period.saturating_mul(firings));
                (
                    firings,
                    Some(Alarm {
                        fired,
                        next,
                        ..self.clone()
                    }),
                )
            }
        };
        let trigger = Trigger {
            id: Name::new(&format!("alarm/{name}/{}/{fired}", self.serial)).ok()?,
            kind: Kind::Alarm {
                firings: u32::try_from(firings).unwrap_or(u32::MAX),
            },
            source: Name::new(&format!("alarm/{name}")).ok()?,
            seq: None,
            created_at: due,
            payload: [].into(),
        };
        Some((trigger, after))
    }
}

/// That an alarm may have this name.
///
/// # Errors
/// [`AlarmError::Name`]
pub fn check_name(name: &Name) -> Result<(), AlarmError> {
    if name.as_str().len() > ALARM_NAME_MAX {
        Err(AlarmError::Name)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Time {
        Time(seconds * SECOND)
    }

    fn every(seconds: u64, missed: Missed) -> Alarm {
        Alarm::new(Schedule::Every(seconds * SECOND), missed, 1, at(100)).unwrap()
    }

    fn fired(alarm: &Alarm, now: Time) -> (String, u32, Option<Alarm>) {
        let (trigger, after) = alarm.fire(&Name::new("tea").unwrap(), now).unwrap();
        let Kind::Alarm { firings } = trigger.kind else {
            panic!("{trigger:?}")
        };
        (trigger.id.to_string(), firings, after)
    }

    #[test]
    fn what_was_missed_is_one_trigger_or_many() {
        let alarm = every(10, Missed::Coalesce);
        assert!(alarm.fire(&Name::new("tea").unwrap(), at(109)).is_none());
        let (id, firings, after) = fired(&alarm, at(145));
        assert_eq!((id.as_str(), firings), ("alarm/tea/1/1", 4));
        assert_eq!(after.unwrap().due(at(145)), at(150));

        let (_, firings, after) = fired(&every(10, Missed::Each), at(145));
        let after = after.unwrap();
        assert_eq!((firings, after.due(at(145))), (1, at(120)));
        assert_eq!(fired(&after, at(145)).0, "alarm/tea/1/2");
    }

    #[test]
    fn a_clock_that_is_set_back_delays_no_more_than_a_period() {
        let alarm = every(10, Missed::Coalesce);
        assert_eq!(alarm.due(at(50)), at(60));
        let (first, _, after) = fired(&alarm, at(110));
        // The same time comes once more, and it is another firing.
        let (second, _, _) = fired(
            &Alarm {
                next: at(110),
                ..after.unwrap()
            },
            at(110),
        );
        assert_ne!(first, second);
    }

    #[test]
    fn an_alarm_fires_once_in_a_second_at_most() {
        assert_eq!(
            Alarm::new(Schedule::Every(PERIOD_MIN - 1), Missed::Each, 1, at(0)),
            Err(AlarmError::Period)
        );
    }

    #[test]
    fn the_ends_of_time_are_times() {
        let alarm = Alarm::new(
            Schedule::Every(u64::MAX),
            Missed::Coalesce,
            1,
            Time(u64::MAX),
        )
        .unwrap();
        assert_eq!(fired(&alarm, Time(u64::MAX)).1, 1);
    }
}
