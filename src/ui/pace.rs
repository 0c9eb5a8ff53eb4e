//! How often frames are drawn because another thread has something to tell.
//!
//! A graphics card draws a frame for next to nothing. Without one, the processors that train draw it, too: then a curve
//! that grows four times a second is enough, and once a second while nobody touches mouse or keyboard. What a person does
//! with them is drawn at once, always.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two frames that a graphics card draws.
const CARD: Duration = Duration::from_millis(33);
/// Between two frames that the processors draw.
const SOFTWARE: Duration = Duration::from_millis(66);
/// The same while they train.
const SOFTWARE_TRAINING: Duration = Duration::from_millis(250);
/// The same while nobody is there.
const UNATTENDED: Duration = Duration::from_secs(1);
/// After this time without mouse and keyboard nobody is there.
const AWAY: Duration = Duration::from_secs(3);
/// What is told at about the same time goes into one frame.
const TOGETHER: Duration = Duration::from_millis(8);

/// When the last frame began, and how long after it the next one may: asked by all threads.
pub struct Pace {
    began: Instant,
    /// Microseconds from `began` to the last frame.
    last: AtomicU64,
    /// Microseconds between two frames.
    apart: AtomicU64,
    /// Microseconds from `began` to what was done last with mouse or keyboard.
    touched: AtomicU64,
}

impl Pace {
    /// Nothing has been drawn yet.
    pub fn new(began: Instant) -> Pace {
        Pace { began, last: AtomicU64::new(0), apart: AtomicU64::new(micros(CARD)), touched: AtomicU64::new(0) }
    }

    /// A frame begins. `software`: no graphics card draws it; `training`: the processors have other work; `touched`: mouse or
    /// keyboard are the reason for it.
    pub fn frame(&self, software: bool, training: bool, touched: bool) {
        let now = micros(self.began.elapsed());
        if touched {
            self.touched.store(now, Ordering::Relaxed);
        }
        let away = now.saturating_sub(self.touched.load(Ordering::Relaxed)) > micros(AWAY);
        let apart = match (software, training) {
            (false, _) => CARD,
            (true, false) => SOFTWARE,
            (true, true) if away => UNATTENDED,
            (true, true) => SOFTWARE_TRAINING,
        };
        self.last.store(now, Ordering::Relaxed);
        self.apart.store(micros(apart), Ordering::Relaxed);
    }

    /// How long to wait until what has just happened is drawn.
    pub fn wait(&self) -> Duration {
        let due = self.last.load(Ordering::Relaxed) + self.apart.load(Ordering::Relaxed);
        Duration::from_micros(due.saturating_sub(micros(self.began.elapsed()))).max(TOGETHER)
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_soon_after_a_frame_waits_and_what_comes_late_does_not() {
        let pace = Pace::new(Instant::now().checked_sub(2 * AWAY).unwrap());
        for (software, training, touched, apart) in [
            (false, false, false, CARD),
            (false, true, false, CARD),
            (true, false, false, SOFTWARE),
            (true, true, false, UNATTENDED),
            (true, true, true, SOFTWARE_TRAINING),
            // Just now somebody was there.
            (true, true, false, SOFTWARE_TRAINING),
        ] {
            pace.frame(software, training, touched);
            let wait = pace.wait();
            assert!(wait <= apart && wait + Duration::from_millis(20) > apart, "{wait:?} of {apart:?}");
        }
        pace.frame(false, false, false);
        std::thread::sleep(CARD);
        assert_eq!(pace.wait(), TOGETHER);
    }
}
