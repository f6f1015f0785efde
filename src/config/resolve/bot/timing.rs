//! `deadline`, `timeout`, `connect_timeout`, `upstream_idle`. The deadline is the platform's and only decides what is late; the
//! timeout is serin's and ends the wait.

use std::time::Duration;

use serde_spanned::Spanned;

use crate::config::raw::Table;
use crate::config::report::{Problem, Problems, Reported};
use crate::config::resolve::bounds::{HOUR, MILLISECOND};
use crate::config::units::show_duration;
use crate::identify::Preset;

const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// gunicorn closes an idle connection after 2 s, Node after 5 s. serin must stop using it before that.
const UPSTREAM_IDLE: Duration = Duration::from_millis(1_500);

pub(super) struct Timing {
    pub deadline: Option<Duration>,
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub upstream_idle: Duration,
}

pub(super) fn timing(table: &mut Table<'_>, preset: Option<&Preset>) -> Result<Timing, Reported> {
    let problems = table.problems();
    let deadline = table.within("deadline", MILLISECOND..=HOUR);
    let timeout = table.within("timeout", MILLISECOND..=24 * HOUR);
    let connect_timeout = table.within("connect_timeout", MILLISECOND..=HOUR);
    let upstream_idle = table.within_or("upstream_idle", Duration::ZERO..=HOUR, UPSTREAM_IDLE);
    let deadline = deadline.and_then(|written| soon_enough(written, preset, problems));
    let (deadline, timeout) = (deadline?, timeout?);
    if let (Some(deadline), Some(timeout)) = (deadline, &timeout)
        && *timeout.get_ref() < deadline
    {
        let (timeout_shown, deadline) = (show_duration(*timeout.get_ref()), show_duration(deadline));
        problems
            .warn(timeout.span(), format!("nothing can ever be late: `timeout` ({timeout_shown}) ends before the deadline ({deadline})"));
    }
    let timeout = timeout.map_or(TIMEOUT, Spanned::into_inner);
    let connect_timeout = connecting(connect_timeout?, deadline, timeout, problems)?;
    Ok(Timing { deadline, timeout, connect_timeout, upstream_idle: upstream_idle? })
}

/// The written deadline, which must not be later than the platform's; or the platform's.
fn soon_enough(written: Option<Spanned<Duration>>, preset: Option<&Preset>, problems: &Problems<'_>) -> Result<Option<Duration>, Reported> {
    let of_platform = preset.and_then(|preset| preset.deadline.map(|deadline| (preset.name, deadline)));
    let Some(written) = written else { return Ok(of_platform.map(|(_, deadline)| deadline)) };
    match of_platform {
        Some((platform, most)) if *written.get_ref() > most => {
            let (wanted, most) = (show_duration(*written.get_ref()), show_duration(most));
            let title = format!("`deadline` is longer than {platform}'s: {wanted}, but {platform} gives up after {most}");
            Err(problems.error(written.span(), title, format!("write \"{most}\" or less, or leave it out")))
        }
        Some(_) | None => Ok(Some(written.into_inner())),
    }
}

/// The connect timeout. It leaves time for stable to answer if the canary takes no connection.
fn connecting(
    written: Option<Spanned<Duration>>,
    deadline: Option<Duration>,
    timeout: Duration,
    problems: &Problems<'_>,
) -> Result<Duration, Reported> {
    let of_deadline = deadline.map_or(Duration::MAX, |deadline| deadline * 3 / 10);
    let most = of_deadline.min(timeout);
    let Some(written) = written else { return Ok(CONNECT_TIMEOUT.min(most)) };
    if *written.get_ref() <= most {
        return Ok(written.into_inner());
    }
    let why = if of_deadline <= timeout {
        "`connect_timeout` is more than 0.3 of the deadline: too little is left for stable to step in"
    } else {
        "`connect_timeout` is longer than `timeout`"
    };
    Err(problems.report(Problem::new(why).at(written.span(), format!("write \"{}\" or less, or leave it out", show_duration(most)))))
}
