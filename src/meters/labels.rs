//! The labels that serin counts by. Each is a closed set; those of the hot path are the index into an array of cells.

/// The class of an answer's status by its first digit; `None` if there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeClass {
    Informational,
    Success,
    Redirection,
    ClientError,
    ServerError,
    None,
}

impl CodeClass {
    pub const ALL: [CodeClass; 6] = [
        CodeClass::Informational,
        CodeClass::Success,
        CodeClass::Redirection,
        CodeClass::ClientError,
        CodeClass::ServerError,
        CodeClass::None,
    ];

    pub fn of(status: Option<u16>) -> CodeClass {
        match status.map(|s| s / 100) {
            None => CodeClass::None,
            Some(1) => CodeClass::Informational,
            Some(2) => CodeClass::Success,
            Some(3) => CodeClass::Redirection,
            Some(4) => CodeClass::ClientError,
            Some(_) => CodeClass::ServerError,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            CodeClass::Informational => "1xx",
            CodeClass::Success => "2xx",
            CodeClass::Redirection => "3xx",
            CodeClass::ClientError => "4xx",
            CodeClass::ServerError => "5xx",
            CodeClass::None => "none",
        }
    }
}

/// The result of looking for the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentifyResult {
    Found,
    Missing,
    Invalid,
    Mixed,
    TooLarge,
}

impl IdentifyResult {
    pub const ALL: [IdentifyResult; 5] =
        [IdentifyResult::Found, IdentifyResult::Missing, IdentifyResult::Invalid, IdentifyResult::Mixed, IdentifyResult::TooLarge];

    pub fn name(self) -> &'static str {
        match self {
            IdentifyResult::Found => "found",
            IdentifyResult::Missing => "missing",
            IdentifyResult::Invalid => "invalid",
            IdentifyResult::Mixed => "mixed",
            IdentifyResult::TooLarge => "too_large",
        }
    }
}

/// Why stable answered for the canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RescueReason {
    Refused,
    Unreachable,
    ConnectTimeout,
    Tls,
    Unresolved,
}

impl RescueReason {
    pub const ALL: [RescueReason; 5] =
        [RescueReason::Refused, RescueReason::Unreachable, RescueReason::ConnectTimeout, RescueReason::Tls, RescueReason::Unresolved];

    pub fn name(self) -> &'static str {
        match self {
            RescueReason::Refused => "refused",
            RescueReason::Unreachable => "unreachable",
            RescueReason::ConnectTimeout => "connect_timeout",
            RescueReason::Tls => "tls",
            RescueReason::Unresolved => "unresolved",
        }
    }
}

/// The result of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Sent,
    /// Refused, or too old before it could be sent.
    Failed,
    /// The queue was full.
    Dropped,
}

impl Told {
    pub const ALL: [Told; 3] = [Told::Sent, Told::Failed, Told::Dropped];

    pub fn name(self) -> &'static str {
        match self {
            Told::Sent => "sent",
            Told::Failed => "failed",
            Told::Dropped => "dropped",
        }
    }
}

/// The result of an order of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered {
    Issued,
    NotIssued(NotIssued),
}

/// Why there is no certificate, in kinds that a person treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotIssued {
    /// The authority does not answer, or not in the way of ACME.
    Unreachable,
    /// The authority takes no orders from this account.
    Account,
    RateLimited,
    /// The authority has not found this serin under the name.
    Challenge,
    /// The authority does not issue for this name.
    Refused,
    /// The folder cannot be written or read.
    Folder,
}

impl Ordered {
    pub const ALL: [Ordered; 7] = [
        Ordered::Issued,
        Ordered::NotIssued(NotIssued::Unreachable),
        Ordered::NotIssued(NotIssued::Account),
        Ordered::NotIssued(NotIssued::RateLimited),
        Ordered::NotIssued(NotIssued::Challenge),
        Ordered::NotIssued(NotIssued::Refused),
        Ordered::NotIssued(NotIssued::Folder),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Ordered::Issued => "issued",
            Ordered::NotIssued(NotIssued::Unreachable) => "unreachable",
            Ordered::NotIssued(NotIssued::Account) => "account",
            Ordered::NotIssued(NotIssued::RateLimited) => "rate_limited",
            Ordered::NotIssued(NotIssued::Challenge) => "challenge",
            Ordered::NotIssued(NotIssued::Refused) => "refused",
            Ordered::NotIssued(NotIssued::Folder) => "folder",
        }
    }
}

/// Why serin closed a client's connection that was not at its usual end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It had to begin with a PROXY header, and did not.
    ProxyHeader,
    /// It came from a proxy that is not trusted, where a PROXY header is required.
    NotTrusted,
    /// The TLS handshake failed.
    Handshake,
    /// There is no certificate yet for the name that it asked for.
    NoCertificate,
    /// It was an authority's, which has checked a name by its TLS handshake.
    Challenge,
    /// The PROXY header, the TLS handshake or the first request did not come in time.
    Silent,
    /// There were as many connections as the config allows, and this one had waited for its client for longest.
    Full,
    /// The same for the connections of one source, or all of them were in use.
    Source,
    /// serin had more to do than its core can, and this one had waited for its turn for too long.
    Late,
}

impl Closed {
    pub const ALL: [Closed; 9] = [
        Closed::ProxyHeader,
        Closed::NotTrusted,
        Closed::Handshake,
        Closed::NoCertificate,
        Closed::Challenge,
        Closed::Silent,
        Closed::Full,
        Closed::Source,
        Closed::Late,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Closed::ProxyHeader => "proxy_header",
            Closed::NotTrusted => "not_trusted",
            Closed::Handshake => "handshake",
            Closed::NoCertificate => "no_certificate",
            Closed::Challenge => "challenge",
            Closed::Silent => "silent",
            Closed::Full => "full",
            Closed::Source => "source",
            Closed::Late => "late",
        }
    }
}
