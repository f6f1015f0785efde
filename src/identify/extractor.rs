//! The compiled sources of one bot, and what they find in one request. Sources are asked in their order and the first id counts.
//! The body is walked at most once, for all sources and marks together, and only if one of them needs it.

use super::body::{Body, Kind};
use super::candidate::Candidate;
use super::form::{Form, JsonField, JsonFields};
use super::head::Head;
use super::lookup::{Lookup, Where};
use super::marks::Marks;
use super::reading::{Found, Reading};
use super::trie::{Pointers, Trie};
use super::{Preset, Source, SourceError, check_namespaces, json};
use crate::core::Workspace;

/// What to do if a body names several different tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mixed {
    /// The whole request goes to stable, and is counted.
    #[default]
    Stable,
    /// The first tenant decides.
    First,
}

/// The compiled sources and marks of one bot.
#[derive(Clone, Debug)]
pub struct Extractor {
    sources: Vec<Source>,
    /// One for each source.
    lookups: Vec<Lookup>,
    mixed: Mixed,
    never: &'static [&'static str],
    marks: Marks,
    /// All pointers into a JSON body, of sources and marks; `None` if there are none.
    json: Option<Trie>,
    form_json: Vec<JsonField>,
}

impl Extractor {
    /// Uses the preset's sources if `sources` is empty, and its handshakes and retry marks in any case.
    pub fn new(sources: Vec<Source>, preset: Option<&'static Preset>, mixed: Mixed) -> Result<Extractor, SourceError> {
        let sources = match preset {
            Some(preset) if sources.is_empty() => preset.sources.iter().map(|text| Source::parse(text)).collect::<Result<_, _>>()?,
            Some(_) | None => sources,
        };
        if sources.is_empty() {
            let message = "nothing says where the workspace's id is: give a preset, or sources such as `json:/team_id`";
            return Err(SourceError::new(message, 0..0));
        }
        check_namespaces(&sources).map_err(|(_, error)| error)?;
        let (mut pointers, mut fields) = (Pointers::default(), JsonFields::default());
        let lookups = sources.iter().map(|source| Lookup::new(source.place(), &mut pointers, &mut fields)).collect::<Result<_, _>>()?;
        let marks = preset.map_or_else(|| Ok(Marks::default()), |preset| Marks::new(preset, &mut pointers))?;
        let json = if pointers.is_empty() { None } else { Some(pointers.compile()?) };
        let never = preset.map_or(&[][..], |preset| preset.never);
        Ok(Extractor { sources, lookups, mixed, never, marks, json, form_json: fields.compile()? })
    }

    /// All reasons that a retry may have with this extractor.
    pub fn retry_reasons(&self) -> Vec<&'static str> {
        self.marks.retry_reasons()
    }

    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Reads a workspace as people write it: `namespace:id`, or an id alone, which is in the first source's namespace.
    pub fn workspace<'a>(&'a self, text: &'a str) -> Workspace<'a> {
        let namespaces = self.namespaces();
        let (namespace, id) = match text.split_once(':') {
            Some((namespace, id)) if namespaces.contains(&namespace) => (namespace, id),
            Some(_) | None => (namespaces.first().copied().unwrap_or("ws"), text),
        };
        Workspace { namespace, id: id.into() }
    }

    /// The namespaces of the sources' ids, in the sources' order.
    pub fn namespaces(&self) -> Vec<&str> {
        self.sources.iter().map(Source::namespace_or_default).collect()
    }

    /// Whether the other extractor finds the same workspaces in the same requests.
    pub fn same_sources(&self, other: &Extractor) -> bool {
        (&self.sources, self.mixed, self.never) == (&other.sources, other.mixed, other.never)
    }

    /// Everything that decides which workspace a request belongs to, as text.
    pub fn rule(&self) -> String {
        format!("{:?} {:?} {:?}", self.sources.iter().map(ToString::to_string).collect::<Vec<_>>(), self.mixed, self.never)
    }

    /// Whether the body is needed to find the workspace, a handshake or a retry.
    pub fn wants_body(&self, head: Head<'_>) -> bool {
        let kind = Kind::of(head);
        if self.marks.need(kind) {
            return true;
        }
        for lookup in &self.lookups {
            match lookup.is_in(kind) {
                Where::Body => return true,
                Where::Elsewhere => {}
                Where::Head => match lookup.ask(head, &Body::Unread).without(self.never) {
                    Candidate::Id(_) | Candidate::Differ(_) => return false,
                    Candidate::Nothing | Candidate::Unfit => {}
                },
            }
        }
        false
    }

    /// `body` is the whole body, or `None` if it was not needed or not available. The result is the same for a body that was not needed.
    pub fn read<'a>(&'a self, head: Head<'a>, body: Option<&'a [u8]>) -> Reading<'a> {
        let body = self.open(head, body);
        Reading { found: self.find(head, &body), handshake: self.marks.handshake(head, &body), retry: self.marks.retry(head, &body) }
    }

    fn open<'a>(&'a self, head: Head<'a>, body: Option<&'a [u8]>) -> Body<'a> {
        let Some(body) = body.filter(|body| !body.is_empty()) else { return Body::Unread };
        match (Kind::of(head), &self.json) {
            (Kind::Json, Some(trie)) => json::walk(trie, body).map_or(Body::Broken, Body::Json),
            (Kind::Form, _) => Body::Form(Form::read(&self.form_json, body)),
            (Kind::Json, None) | (Kind::Opaque, _) => Body::Unread,
        }
    }

    fn find<'a>(&'a self, head: Head<'a>, body: &Body<'a>) -> Found<'a> {
        // A constant means 'this body names no tenant', which is only known of a body that was parsed.
        let (mut unfit, mut unread, mut unreadable) = (false, false, false);
        for (source, lookup) in self.lookups.iter().enumerate() {
            if lookup.is_constant() && (unfit || unread) {
                continue;
            }
            // The bot may have read what serin could not, and then it looks no further in this form.
            if unreadable && lookup.reads_body() {
                continue;
            }
            unread |= lookup.is_blind(body);
            unreadable |= lookup.cannot_read(body);
            let id = match (lookup.ask(head, body).without(self.never), self.mixed) {
                (Candidate::Id(id), _) | (Candidate::Differ(id), Mixed::First) => id,
                (Candidate::Differ(_), Mixed::Stable) => return Found::Mixed,
                (Candidate::Unfit, _) => {
                    unfit = true;
                    continue;
                }
                (Candidate::Nothing, _) => continue,
            };
            return Found::Workspace { workspace: Workspace { namespace: self.sources[source].namespace_or_default(), id }, source };
        }
        if unfit { Found::Invalid } else { Found::Missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::example::{Request, extractor, form, get, json, payload, post};
    use crate::identify::find;

    fn told(sources: &[&str], request: Request) -> String {
        request.to(&extractor(sources))
    }

    #[test]
    fn the_first_source_with_an_id_wins() {
        let sources = ["header:X-Workspace-Id", "json:/team_id", "json:/team/id"];
        assert_eq!(told(&sources, json(r#"{"team_id":"T1","team":{"id":"T2"}}"#)), "ws:T1");
        assert_eq!(told(&sources, json(r#"{"team_id":null,"team":{"id":"T2"}}"#)), "ws:T2");
        assert_eq!(told(&sources, json(r#"{"team_id":"","team":{"id":"T2"}}"#)), "ws:T2");
        assert_eq!(told(&sources, json(r#"{"team_id":1.5,"team":{"id":"T2"}}"#)), "ws:T2");
        assert_eq!(told(&sources, json(r#"{"team_id":"T1"}"#).header("x-workspace-id", "H1")), "ws:H1");
    }

    #[test]
    fn an_invalid_id_differs_from_a_missing_one() {
        let sources = ["json:/team_id"];
        for body in [r#"{"team_id":1.5}"#, r#"{"team_id":true}"#, r#"{"team_id":{}}"#, r#"{"team_id":["T1"]}"#, r#"{"team_id":[]}"#] {
            assert_eq!(told(&sources, json(body)), "invalid", "{body}");
        }
        for body in [r#"{"team_id":null}"#, r#"{"team_id":""}"#, "{}", "[]", "1", ""] {
            assert_eq!(told(&sources, json(body)), "missing", "{body}");
        }
        assert_eq!(told(&sources, json(format!(r#"{{"team_id":"{}"}}"#, "x".repeat(256)))).len(), 3 + 256);
        assert_eq!(told(&sources, json(format!(r#"{{"team_id":"{}"}}"#, "x".repeat(257)))), "invalid");
        assert_eq!(told(&sources, json(r#"{"team_id":18446744073709551616}"#)), "invalid");
        assert_eq!(told(&sources, json(r#"{"team_id":12}"#)), told(&sources, json(r#"{"team_id":"12"}"#)));
    }

    #[test]
    fn a_head_source_still_speaks_where_the_body_is_broken() {
        let sources = ["json:/team_id", "query:team", "path:0"];
        assert_eq!(told(&sources, json(r#"{"team_id":"T1""#)), "ws:hook");
        assert_eq!(told(&["json:/team_id"], json(r#"{"team_id":"T1""#)), "invalid");
    }

    #[test]
    fn a_form_with_a_document_that_cannot_be_read_has_no_id_elsewhere() {
        let sources = ["form_json:payload#/team", "form:team_id", "form_json:other#/team"];
        for payload in ["{\"team\":1e999}", "{\"\\ud800\":1}", "{\"team\":", "{}&payload={} "] {
            assert_eq!(told(&sources, form(format!("payload={payload}&team_id=T2&other={{\"team\":\"T3\"}}"))), "invalid", "{payload}");
        }
        assert_eq!(told(&sources, form("payload={}&team_id=T2")), "ws:T2");
        assert_eq!(told(&["form_json:payload#/team", "form:team_id", "path:0"], form("payload={&team_id=T2")), "ws:hook");
    }

    #[test]
    fn several_tenants_are_mixed_unless_the_first_may_decide() {
        let sources = vec![Source::parse("json:/entry/*/id").unwrap()];
        let stable = Extractor::new(sources.clone(), None, Mixed::Stable).unwrap();
        let first = Extractor::new(sources, None, Mixed::First).unwrap();
        let two = json(r#"{"entry":[{"id":"A"},{"id":"B"},{"id":"A"}]}"#);
        assert_eq!((two.to(&stable), two.to(&first)), ("mixed".to_owned(), "ws:A".to_owned()));
        let one = json(r#"{"entry":[{"id":"A"},{"id":"A"},{"id":null},{}]}"#);
        assert_eq!((one.to(&stable), one.to(&first)), ("ws:A".to_owned(), "ws:A".to_owned()));
    }

    #[test]
    fn the_content_type_chooses_the_parser() {
        let sources = ["json:/team", "form:team", "form_json:payload#/team"];
        assert_eq!(told(&sources, post("application/vnd.x+json", r#"{"team":"T"}"#)), "ws:T");
        assert_eq!(told(&sources, post("text/plain", r#"{"team":"T"}"#)), "ws:T");
        assert_eq!(told(&sources, form("team=T")), "ws:T");
        assert_eq!(told(&sources, payload(r#"{"team":"T"}"#)), "ws:T");
        assert_eq!(told(&sources, form(r#"{"team":"T"}"#)), "missing");
        assert_eq!(told(&sources, post("multipart/form-data; boundary=b", "--b")), "missing");
    }

    #[test]
    fn the_body_is_wanted_only_where_it_can_say_more() {
        let wants = |sources: &[&str], request: &Request| extractor(sources).wants_body(request.head());
        let with_header = json("{}").header("x-team", "T1");
        assert!(!wants(&["header:X-Team", "json:/team"], &with_header));
        assert!(wants(&["json:/team", "header:X-Team"], &with_header));
        assert!(wants(&["header:X-Team", "json:/team"], &json("{}")));
        assert!(!wants(&["header:X-Team"], &json("{}")));
        assert!(!wants(&["form:team"], &json("{}")));
        assert!(!wants(&["json:/team"], &form("")));
        assert!(!wants(&["json:/team"], &get("/")));
        assert!(!wants(&["json:/team"], &post("multipart/form-data", "")));
        assert!(!wants(&["const:one", "json:/team"], &json("{}")));
    }

    #[test]
    fn a_presets_handshakes_need_the_body_even_if_the_id_does_not() {
        let sources = vec![Source::parse("header:X-Team").unwrap()];
        let extractor = Extractor::new(sources, find("slack"), Mixed::Stable).unwrap();
        let request = json(r#"{"type":"url_verification"}"#).header("x-team", "T1");
        assert!(extractor.wants_body(request.head()));
        assert_eq!(request.to(&extractor), "ws:T1 handshake");
        assert!(!extractor.wants_body(get("/").head()));
    }

    #[test]
    fn a_plan_that_cannot_be_meant_is_refused() {
        let refused = |texts: &[&str]| {
            let sources = texts.iter().map(|text| Source::parse(text).unwrap()).collect();
            Extractor::new(sources, None, Mixed::Stable).unwrap_err().message
        };
        assert!(refused(&[]).contains("give a preset"));
        assert!(refused(&["json:/guild_id", "json:/user/id"]).contains("`user:json:/user/id`"));
    }
}
