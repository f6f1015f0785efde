//! Marks of handshakes and retries, as a preset writes them.

/// One mark, as a preset writes it.
#[derive(Debug)]
pub(in crate::identify) enum Mark {
    /// This header with this value. The name is in lower case.
    Header(&'static str, &'static str),
    /// A GET with this parameter.
    Query(&'static str),
    Form(&'static str, &'static str),
    Json(&'static str, Literal),
}

#[derive(Clone, Copy, Debug)]
pub(in crate::identify) enum Literal {
    Text(&'static str),
    Number(u64),
    True,
    EmptyArray,
}

/// How a platform marks a retry.
#[derive(Debug)]
pub(in crate::identify) enum RetryMark {
    /// `mark` is a header that only retries have, and `reason` the header with the reason. A reason that is not in the list is `other`.
    Header { mark: &'static str, reason: &'static str, reasons: &'static [&'static str] },
    /// A value in the body. The platform gives no reason, so `reason` is fixed.
    Json { pointer: &'static str, is: Literal, reason: &'static str },
}
