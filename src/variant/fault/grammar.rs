//! Faults as people write them, and what is wrong with one that cannot be read.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Action, Fault, Link, Party, Target};
use crate::variant::Span;

const WHATS: &str = "kill TARGET, pause TARGET, restart TARGET, flush scripts, fill redis, failover redis, rolling \
                     restart, step clock of worker N by TIME, fill disk, cut END - END, delay END - END by TIME";
const TARGETS: &str = "broker N, controller, worker N, redis";
const ENDS: &str = "producers, workers, readers, broker N, brokers, redis";
/// How far a clock may step, and how late all may arrive: far past any run.
const BY_MAX: Duration = Duration::from_hours(168);

/// A fault cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No fault begins so.
    #[error("`{0}` is no fault; there are: {WHATS}")]
    What(String),
    /// Nothing of that name can be struck.
    #[error("`{0}` cannot be struck; there are: {TARGETS}")]
    Target(String),
    /// Nothing of that name is an end of a link.
    #[error("`{0}` is no end of a link; write two of them with ` - ` between: {ENDS}")]
    End(String),
    /// A time cannot be read.
    #[error("`{word} {text}`: {reason}")]
    Time {
        /// `at`, `for` or `by`.
        word: &'static str,
        /// What follows it.
        text: String,
        /// What a time looks like.
        reason: String,
    },
    /// A part is missing.
    #[error("`{what}` lacks `{word} TIME`, {why}")]
    Lacks {
        /// The fault.
        what: String,
        /// `at`, `for` or `by`.
        word: &'static str,
        /// What it would say.
        why: &'static str,
    },
    /// It has an end that nobody chooses.
    #[error("`{what}` takes no `for`: {why}")]
    NoFor {
        /// The fault.
        what: String,
        /// Why.
        why: &'static str,
    },
}

/// A fault as a table of a variant, and in the manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    what: String,
    at: Span,
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    lasts: Option<Span>,
}

impl TryFrom<Written> for Fault {
    type Error = FaultError;

    fn try_from(Written { what, at, lasts }: Written) -> Result<Self, FaultError> {
        Self::new(what.parse()?, at, lasts)
    }
}

impl From<Fault> for Written {
    fn from(Fault { what, at, lasts }: Fault) -> Self {
        Self { what: what.to_string(), at, lasts }
    }
}

impl Fault {
    /// A fault whose times fit what it does.
    ///
    /// # Errors
    /// It needs a `for`, or can have none.
    pub fn new(what: Action, at: Span, lasts: Option<Span>) -> Result<Self, FaultError> {
        let name = || what.to_string();
        match (length(&what), lasts) {
            (Length::Given, None) => Err(FaultError::Lacks { what: name(), word: "for", why: "how long it lasts" }),
            (Length::Given, Some(Span(Duration::ZERO))) => {
                let reason = "it must last longer".to_owned();
                Err(FaultError::Time { word: "for", text: "0s".to_owned(), reason })
            }
            (Length::Own(why), Some(_)) => Err(FaultError::NoFor { what: name(), why }),
            _ => Ok(Self { what, at, lasts }),
        }
    }
}

/// Who says how long a fault lasts.
enum Length {
    Given,
    /// Itself, for this reason.
    Own(&'static str),
    Either,
}

fn length(what: &Action) -> Length {
    match what {
        Action::Kill(_) | Action::Pause(_) | Action::FillRedis | Action::Cut(_) | Action::Delay(..) => Length::Given,
        Action::Restart(_) | Action::RollingRestart => Length::Own("it ends when what was stopped answers again"),
        Action::FlushScripts | Action::FailoverRedis => Length::Own("it is done in a moment"),
        Action::FillDisk => Length::Own("rows that a full disk has refused do not come back, so it lasts to the end"),
        Action::StepClock { .. } => Length::Either,
    }
}

/// `kill broker 2 at 30s for 10s`.
impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (words, lasts) = split(&words, "for")?;
        let (words, at) = split(words, "at")?;
        let what: Action = words.join(" ").parse()?;
        let at = at.ok_or_else(|| FaultError::Lacks {
            what: what.to_string(),
            word: "at",
            why: "when it begins, from the window's start",
        })?;
        Self::new(what, at, lasts)
    }
}

/// What stands before the word and the time after it, where the text ends so.
fn split<'a, 'b>(words: &'b [&'a str], word: &'static str) -> Result<(&'b [&'a str], Option<Span>), FaultError> {
    let Some(found) = words.iter().rposition(|other| *other == word) else { return Ok((words, None)) };
    Ok((&words[..found], Some(time(word, &words[found + 1..].join(" "))?)))
}

fn time(word: &'static str, text: &str) -> Result<Span, FaultError> {
    text.parse().map_err(|reason| FaultError::Time { word, text: text.to_owned(), reason })
}

impl FromStr for Action {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["kill", ref rest @ ..] => Ok(Self::Kill(target(rest)?)),
            ["pause", ref rest @ ..] => Ok(Self::Pause(target(rest)?)),
            ["restart", ref rest @ ..] => Ok(Self::Restart(target(rest)?)),
            ["flush", "scripts"] => Ok(Self::FlushScripts),
            ["fill", "redis"] => Ok(Self::FillRedis),
            ["fill", "disk"] => Ok(Self::FillDisk),
            ["failover", "redis"] => Ok(Self::FailoverRedis),
            ["rolling", "restart"] => Ok(Self::RollingRestart),
            ["step", "clock", "of", "worker", ref rest @ ..] => step_clock(rest),
            ["cut", ref rest @ ..] => Ok(Self::Cut(link(rest)?)),
            ["delay", ref rest @ ..] => match split(rest, "by")? {
                (rest, Some(by)) => Ok(Self::Delay(link(rest)?, bounded("delay", by, &by.to_string())?)),
                (_, None) => Err(FaultError::Lacks { what: words.join(" "), word: "by", why: "how late all arrives" }),
            },
            _ => Err(FaultError::What(text.to_owned())),
        }
    }
}

fn step_clock(rest: &[&str]) -> Result<Action, FaultError> {
    let [worker, "by", by] = rest else {
        let what = format!("step clock of worker {}", rest.join(" "));
        return Err(FaultError::Lacks { what, word: "by", why: "how far, such as 5s or -5s" });
    };
    let Target::Worker(worker) = target(&["worker", worker])? else { unreachable!("the word before says so") };
    let (sign, length) = by.strip_prefix('-').map_or((1, *by), |length| (-1, length));
    let step = bounded("step", time("by", length)?, by)?;
    Ok(Action::StepClock { worker, by_us: sign * step.0.as_micros() as i64 })
}

/// A time that follows `by`, written as `text`, unless it is too long for its `what`.
fn bounded(what: &str, by: Span, text: &str) -> Result<Span, FaultError> {
    if by.0 <= BY_MAX {
        return Ok(by);
    }
    let reason = format!("a {what} is {} at most", Span(BY_MAX));
    Err(FaultError::Time { word: "by", text: text.to_owned(), reason })
}

fn target(words: &[&str]) -> Result<Target, FaultError> {
    let unknown = || FaultError::Target(words.join(" "));
    let number = |text: &str| text.parse().map_err(|_| unknown());
    match words {
        ["broker", n] => Ok(Target::Broker(number(n)?)),
        ["worker", n] => Ok(Target::Worker(number(n)?)),
        ["controller"] => Ok(Target::Controller),
        ["redis"] => Ok(Target::Redis),
        _ => Err(unknown()),
    }
}

fn link(words: &[&str]) -> Result<Link, FaultError> {
    let Some(middle) = words.iter().position(|word| *word == "-") else { return Err(FaultError::End(words.join(" "))) };
    Ok(Link { a: end(&words[..middle])?, b: end(&words[middle + 1..])? })
}

fn end(words: &[&str]) -> Result<Party, FaultError> {
    let unknown = || FaultError::End(words.join(" "));
    match words {
        ["producers"] => Ok(Party::Producers),
        ["workers"] => Ok(Party::Workers),
        ["readers"] => Ok(Party::Readers),
        ["brokers"] => Ok(Party::Brokers),
        ["redis"] => Ok(Party::Redis),
        ["broker", n] => Ok(Party::Broker(n.parse().map_err(|_| unknown())?)),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_is_read_and_written_the_same() {
        for text in [
            "kill broker 2 at 30s for 10s",
            "kill controller at 0s for 300ms",
            "pause worker 0 at 1m30s for 2s",
            "pause redis at 5s for 20s",
            "restart redis at 5s",
            "flush scripts at 5s",
            "fill redis at 5s for 1s",
            "failover redis at 5s",
            "rolling restart at 5s",
            "step clock of worker 1 by 5s at 5s",
            "step clock of worker 1 by -300ms at 5s for 1s",
            "fill disk at 5s",
            "cut producers - broker 3 at 5s for 1s",
            "cut broker 1 - brokers at 5s for 1s",
            "delay workers - redis by 5ms at 5s for 1s",
            "delay readers - redis by 5ms at 5s for 1s",
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), text);
            let table = toml::to_string(&fault).unwrap();
            assert_eq!(toml::from_str::<Fault>(&table).unwrap(), fault, "{table}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_what_there_is() {
        for (text, part) in [
            ("", "`` is no fault; there are: kill TARGET"),
            ("drop broker 2 at 5s", "`drop broker 2` is no fault; there are: kill TARGET, pause TARGET"),
            (
                "kill brokr 2 at 5s for 1s",
                "`brokr 2` cannot be struck; there are: broker N, controller, worker N, redis",
            ),
            ("kill broker two at 5s for 1s", "`broker two` cannot be struck"),
            ("kill at 5s for 1s", "`` cannot be struck"),
            ("kill broker 2 for 1s", "`kill broker 2` lacks `at TIME`"),
            ("kill broker 2 at 5s", "`kill broker 2` lacks `for TIME`"),
            ("kill broker 2 at soon for 1s", "`at soon`: `soon` is not a length of time; write it as 300ms, 30s"),
            ("kill broker 2 at 5s for 0s", "`for 0s`: it must last longer"),
            ("restart redis at 5s for 1s", "`restart redis` takes no `for`: it ends when"),
            ("fill disk at 5s for 1s", "`fill disk` takes no `for`"),
            ("step clock of worker 0 at 5s", "lacks `by TIME`"),
            ("step clock of worker x by 5s at 5s", "`worker x` cannot be struck"),
            ("step clock of worker 0 by -169h at 5s", "`by -169h`: a step is 168h at most"),
            ("delay workers - redis by 169h at 5s for 1s", "`by 169h`: a delay is 168h at most"),
            ("cut producers at 5s for 1s", "`producers` is no end of a link; write two of them with ` - ` between"),
            ("cut producers - zookeeper at 5s for 1s", "`zookeeper` is no end of a link"),
            ("delay workers - redis at 5s for 1s", "lacks `by TIME`"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(part), "{text:?} gave: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_words_are_answered(
            words in proptest::collection::vec(
                prop_oneof![
                    "(kill|pause|restart|flush|fill|rolling|step|clock|of|by|cut|delay|-|at|for|worker|broker|redis|disk)",
                    "[0-9]{1,25}(s|ms|h)?",
                    any::<String>(),
                ],
                0..10,
            ),
        ) {
            if let Ok(fault) = words.join(" ").parse::<Fault>() {
                prop_assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault));
            }
        }
    }
}
