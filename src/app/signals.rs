//! The signals that serin ignores. A signal that is ignored runs no code, so a plain call of the C library is enough, before there is a
//! runtime.

#![allow(unsafe_code, reason = "neither std nor rustix can set a signal to be ignored")]

/// Makes a SIGHUP or a SIGUSR2 do nothing until their tasks listen for them, instead of ending the process. `serin run` calls it first.
pub fn survive_early_signals() {
    ignore(libc::SIGHUP);
    ignore(libc::SIGUSR2);
}

/// Makes a write to a file at its size limit fail, instead of ending the process.
pub fn survive_full_files() {
    ignore(libc::SIGXFSZ);
}

fn ignore(signal: libc::c_int) {
    // SAFETY: the call gets two integers. `SIG_IGN` is no handler, so that no code runs when the signal comes.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}
