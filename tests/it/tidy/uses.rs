//! Which files of `src` use which: for the rules about floors and circles.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, is_in_word};

/// The path of a module from the crate's root: `[proxy, upstream]`.
type Module = Vec<String>;

/// A path as a file writes it, and whether the file exports it again.
struct Written {
    path: Vec<String>,
    again: bool,
}

/// Each file's module with the modules that it uses. A name that a module exports again counts for the file that defines it.
pub fn of(sources: &[Source]) -> BTreeMap<Module, BTreeSet<Module>> {
    let files: BTreeMap<Module, Vec<Written>> = sources.iter().map(|source| (module(source), written(&source.code))).collect();
    let known = |module: &[String]| files.contains_key(module);
    let exports: BTreeMap<&Module, BTreeMap<&str, Module>> = files
        .iter()
        .map(|(module, paths)| {
            let again = paths.iter().filter(|written| written.again);
            (module, again.filter_map(|w| Some((w.path.last()?.as_str(), absolute(module, &w.path, &known)?))).collect())
        })
        .collect();
    let mut uses: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, paths) in &files {
        let names: BTreeMap<&str, Module> = paths
            .iter()
            .filter_map(|w| Some((w.path.last()?.as_str(), absolute(module, &w.path, &known)?)))
            .filter(|(_, path)| known(path))
            .collect();
        let used = uses.entry(module.clone()).or_default();
        for written in paths {
            let named = names.get(written.path[0].as_str()).map(|path| [path, &written.path[1..]].concat());
            let Some(mut path) = absolute(module, &written.path, &known).or(named) else { continue };
            // A module that only exports its children does not use them.
            if written.again && path.starts_with(module) {
                continue;
            }
            // Each turn follows one more export, and a module exports no name of its own parents.
            while let Some(next) = exported(&path, &exports, &known) {
                path = next;
            }
            let target = defined_in(&path, &known);
            if !target.is_empty() && target != *module {
                used.insert(target);
            }
        }
    }
    uses
}

/// Some circle, as a list of modules that use each other in this order; `None` if there is none.
pub fn circle(uses: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    let mut done = BTreeSet::new();
    uses.keys().find_map(|start| search(start, uses, &mut Vec::new(), &mut done))
}

fn search(
    at: &Module,
    uses: &BTreeMap<Module, BTreeSet<Module>>,
    way: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<Module>> {
    if let Some(begin) = way.iter().position(|module| module == at) {
        return Some(way[begin..].to_vec());
    }
    if done.contains(at) {
        return None;
    }
    way.push(at.clone());
    let found = uses.get(at).into_iter().flatten().find_map(|next| search(next, uses, way, done));
    way.pop();
    done.insert(at.clone());
    found
}

fn module(source: &Source) -> Module {
    let mut parts: Module = source.path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// The path from the crate's root. `None` if the path begins with neither `crate`, `self`, `super` nor a child of the module.
fn absolute(module: &Module, path: &[String], known: &impl Fn(&[String]) -> bool) -> Option<Module> {
    let above = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([&module[..module.len().checked_sub(above)?], &path[above..]].concat()),
        child => known(&[&module[..], &[child.to_owned()]].concat()).then(|| [&module[..], path].concat()),
    }
}

/// The longest beginning of the path that is a module.
fn defined_in(path: &[String], known: &impl Fn(&[String]) -> bool) -> Module {
    let length = (0..=path.len()).rev().find(|length| known(&path[..*length])).unwrap_or(0);
    path[..length].to_vec()
}

/// The path that a module's export stands for, if `path` names one.
fn exported(path: &[String], exports: &BTreeMap<&Module, BTreeMap<&str, Module>>, known: &impl Fn(&[String]) -> bool) -> Option<Module> {
    let module = defined_in(path, known);
    let name = path.get(module.len())?;
    let target = exports.get(&module)?.get(name.as_str())?;
    Some([target, &path[module.len() + 1..]].concat())
}

/// All paths of a file with at least two parts: those of `use`, one for each name, and those in the code.
fn written(code: &str) -> Vec<Written> {
    let mut paths = Vec::new();
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let public = trimmed.starts_with("pub");
        let visible = trimmed.strip_prefix("pub").map_or(trimmed, |after| match after.strip_prefix('(') {
            Some(scope) => scope.split_once(')').map_or("", |(_, after)| after),
            None => after,
        });
        let Some(tree) = visible.trim_start().strip_prefix("use ") else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            let Some(more) = lines.next() else { break };
            tree.push_str(more.trim());
        }
        let tree = tree.split(';').next().unwrap_or_default();
        paths.extend(branches(tree).into_iter().map(|path| Written { path, again: public }));
    }
    let mut path: Vec<String> = Vec::new();
    for part in rest.split(|c| !is_in_word(c) && c != ':') {
        path.extend(part.split("::").filter(|word| !word.is_empty()).map(|word| word.trim_matches(':').to_owned()));
        if path.len() > 1 && !part.starts_with(':') {
            paths.push(Written { path: std::mem::take(&mut path), again: false });
        }
        path.clear();
    }
    paths
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`. A name after `as` counts as the last part.
fn branches(tree: &str) -> Vec<Vec<String>> {
    let parts = |path: &str| path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let Some((before, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![parts(path)];
    };
    let group = group.rsplit_once('}').map_or(group, |(inside, _)| inside);
    let (mut depth, mut items, mut item) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            c => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                item.push(c);
            }
        }
    }
    items.push(item);
    let items = items.iter().filter(|item| !item.trim().is_empty());
    items.flat_map(|item| branches(item.trim())).map(|branch| [parts(before), branch].concat()).collect()
}

#[test]
fn a_circle_is_found_through_an_export_and_an_alias() {
    let file = |path: &str, code: &str| Source { path: path.into(), text: String::new(), code: code.to_owned() };
    let sources = [
        file("lib.rs", "pub mod a;\n"),
        file("a/mod.rs", "mod one;\nmod two;\npub use one::One;\n"),
        file("a/one.rs", "use crate::a::two;\npub struct One;\nfn f() { two::g() }\n"),
        file("a/two.rs", "pub fn g() -> super::One { todo() }\n"),
    ];
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(circle(&of(&sources)), Some(vec![path("a::one"), path("a::two")]));
    let facade = [
        file("a/mod.rs", "mod one;\npub use one::{One, self as first};\nuse self::one::f;\n"),
        file("a/one.rs", "pub struct One;\npub fn f() {}\n"),
    ];
    assert_eq!(circle(&of(&facade)), None);
}
