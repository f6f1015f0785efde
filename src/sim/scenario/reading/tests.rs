//! What a file of scenarios may contain, and the error messages of invalid files.

use super::*;

fn told(text: &str) -> Vec<String> {
    let error = parse(text, Path::new("own.toml")).expect_err(text);
    let rendered = error.to_string();
    let one = |report: &str| {
        let mut lines = report.lines();
        let title = lines.next().unwrap_or("").trim_start_matches("error: ");
        let place = lines.next().and_then(|line| line.split_once("own.toml:")).map_or("", |(_, place)| place);
        let label = lines.find_map(|line| line.split_once('|')?.1.trim().strip_prefix('^')).unwrap_or("").trim_start_matches('^').trim();
        format!("{place} {title}: {label}")
    };
    let told: Vec<String> = rendered.split("\n\nerror: ").map(one).collect();
    assert_eq!(told.len(), error.count(), "{rendered}");
    told
}

/// A scenario with this effect, which begins in line 4.
fn with(effect: &str) -> String {
    format!("[[scenario]]\nname = \"own\"\n[[scenario.effect]]\n{effect}\n")
}

#[test]
fn the_example_means_what_its_comments_say() {
    let text = include_str!("../../../../config/scenarios/example.toml");
    let scenarios = parse(text, Path::new("example.toml")).unwrap_or_else(|error| panic!("{error}"));
    let [canary, both] = scenarios[0].effects.as_slice() else { panic!("two effects") };
    let during = |from, every| When::During { from: Duration::from_secs(from), to: None, every };
    let error = EffectChanges { error: Some(RateChange::AtLeast(1.0)), ..EffectChanges::default() };
    assert_eq!(
        *canary,
        ScenarioEffect {
            on: On::Canary,
            affected: AffectedWorkspaces::Ranks(1..=20),
            when: during(120, None),
            events: 0.05,
            changes: error
        }
    );
    let period = Period { every: Duration::from_secs(1_800), lasting: Duration::from_secs(60) };
    let added = Slowness { factor: 1.0, factor_per_min: 1.0, added: Duration::from_millis(200), slowest: 1.0 };
    let slow = EffectChanges { latency: Some(added), ..EffectChanges::default() };
    assert_eq!(
        *both,
        ScenarioEffect { on: On::Both, affected: AffectedWorkspaces::All, when: during(600, Some(period)), events: 1.0, changes: slow }
    );
}

#[test]
fn a_mistake_is_shown_with_its_place() {
    let error = parse(&with("error = \"5\""), Path::new("own.toml")).expect_err("no unit");
    let shown = r#"error: `error` is not a change of a rate
 --> own.toml:4:9
  |
4 | error = "5"
  |         ^^^ write "+5%" (so many more), "80%" (at least so many) or "x0.5" (times)"#;
    assert_eq!(error.to_string(), shown);
}

#[test]
fn the_error_of_every_mistake_in_an_effect_shows_what_to_write() {
    let change = "write \"+5%\" (so many more), \"80%\" (at least so many) or \"x0.5\" (times)";
    for (effect, wanted) in [
        ("error = \"+120%\"", format!("4:9 `error` is not a change of a rate: {change}")),
        ("rejected = \"x\"", format!("4:12 `rejected` is not a change of a rate: {change}")),
        ("late = 3", format!("4:8 `late` is not a change of a rate: {change}")),
        ("eror = \"5%\"\nlate = \"1%\"", "4:1 unknown key `eror`; did you mean `error`?: not a key of [[scenario.effect]]".into()),
        ("track = \"canry\"\nlate = \"1%\"", "4:9 `track` cannot be \"canry\": did you mean \"canary\"?".into()),
        ("share = \"0%\"\nlate = \"1%\"", "4:9 `share` is not a share: write a percentage above 0% and up to 100%, such as \"2%\"".into()),
        ("ranks = \"3-1\"\nlate = \"1%\"", "4:9 `ranks` is not a place by size: write \"1\" for the largest workspace, or \"1-10\"".into()),
        ("share = \"2%\"\nranks = \"1\"\nlate = \"1%\"", "5:9 one effect says twice whom it concerns: take one of them out".into()),
        (
            "latency = \"1.2\"",
            "4:11 `latency` is not a change of the latency: write a factor such as \"x1.2\", or what is added, such as \"+50ms\"".into(),
        ),
        (
            "latency_per_min = \"x0\"",
            "4:19 `latency_per_min` is not a factor: write a factor above 0 and up to 1000, such as \"x1.5\"".into(),
        ),
        ("slowest = \"2%\"\nerror = \"1%\"", "4:11 `slowest` without `latency`: add latency = \"x3\"".into()),
        ("traffic = \"x5000\"", "4:11 `traffic` is not a factor: write a factor above 0 and up to 1000, such as \"x1.5\"".into()),
        ("status = 200", "4:10 a status of 200 is a success: write one that fails, such as 401 or 503".into()),
        ("status = 42", "4:10 `status` is too little: write 100 or more, up to 599".into()),
        ("rate = \"5%\"", "4:8 `rate` without `status`: add status = 503, or write error = … instead".into()),
        (
            "from = \"5m\"\nto = \"5m\"\nlate = \"1%\"",
            "5:6 `to` is not after `from`: write when it ends, counted from the rollout's start".into(),
        ),
        ("from = 5\nlate = \"1%\"", "4:8 `from` is not a duration: write it with a unit: \"5s\" or \"5ms\"".into()),
        ("every = \"1m\"\nlate = \"1%\"", "4:9 `every` without `for`: add for = \"…\", how long it lasts".into()),
        ("for = \"1m\"\nlate = \"1%\"", "4:7 `for` without `every`: add every = \"…\", or write `to` instead".into()),
        (
            "every = \"1m\"\nfor = \"1m\"\nlate = \"1%\"",
            "5:7 `for` is not shorter than `every`: write how much of each period it lasts".into(),
        ),
        (
            "chronic = true\nfrom = \"1m\"\nlate = \"1%\"",
            "4:11 what is chronic has no beginning and no end: take it out, or from, to, every and for".into(),
        ),
        ("chronic = true\ntrack = \"canary\"\nlate = \"1%\"", "5:9 what is chronic is met on both tracks: write track = \"both\"".into()),
        (
            "track = \"both\"",
            "3:1 an effect that changes nothing: add error, rejected, late, status, latency, latency_per_min or traffic".into(),
        ),
    ] {
        assert_eq!(told(&with(effect)), [wanted], "{effect}");
    }
}

#[test]
fn the_error_of_every_mistake_in_a_scenario_shows_what_to_write() {
    let name = "write 1 to 40 of a-z, A-Z, 0-9, -, _ and the dot; not \"all\"";
    for (text, wanted) in [
        ("", vec![" there is no scenario: ".to_owned()]),
        ("[[scenario]]\nabout = \"x\"", vec!["1:1 a scenario without a name: add name = \"…\"".into()]),
        ("[[scenario]]\nname = \"a b\"", vec![format!("2:8 a scenario's name cannot be \"a b\": {name}")]),
        ("[[scenario]]\nname = \"all\"", vec![format!("2:8 a scenario's name cannot be \"all\": {name}")]),
        ("[[scenario]]\nname = \"a\"\n[[scenario]]\nname = \"a\"", vec!["4:8 two scenarios are called \"a\": choose another name".into()]),
        (
            "[[scenario]]\nname = 1\nfirst_step = \"0\"",
            vec![
                "2:8 `name` is not a text: write it in quotes".into(),
                "3:14 `first_step` is not a place by size: write \"1\" for the largest workspace, or \"1-10\"".into(),
            ],
        ),
        ("[[scenarios]]\nname = \"a\"", vec!["1:3 unknown key `scenarios`; did you mean `scenario`?: not a key of the file".into()]),
    ] {
        assert_eq!(told(text), wanted, "{text}");
    }
}

#[test]
fn a_status_means_what_the_core_says() {
    let changes =
        |effect: &str| parse(&with(effect), Path::new("own.toml")).unwrap_or_else(|error| panic!("{error}"))[0].effects[0].changes;
    assert_eq!(changes("status = 503\nrate = \"+5%\"").error, Some(RateChange::Add(0.05)));
    assert_eq!(changes("status = 401").rejected, Some(RateChange::AtLeast(1.0)));
    assert_eq!(changes("error = \"x0.5\"").error, Some(RateChange::Times(0.5)));
}
