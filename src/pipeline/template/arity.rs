//! How many arguments filters, tests and functions take, for finding a wrong call before an event does. The engine does not tell; a test holds this
//! table against it.

use crate::config::closest;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Callable {
    Filter,
    Test,
    Function,
}

/// The arguments beside the value that is filtered or tested.
struct Arity {
    least: usize,
    most: usize,
    named: Named,
}

enum Named {
    These(&'static [&'static str]),
    Any,
}

/// What is wrong with a call, and what to do.
pub(in crate::pipeline) struct WrongCall {
    pub message: String,
    pub hint: String,
}

/// None where the call is right, or where nothing is known of the name.
pub(in crate::pipeline) fn wrong_call(of: Callable, name: &str, positional: usize, named: &[&str]) -> Option<WrongCall> {
    let arity = arity(of, name)?;
    let what = match of {
        Callable::Filter => "filter",
        Callable::Test => "test",
        Callable::Function => "function",
    };
    if let Named::These(known) = arity.named
        && let Some(unknown) = named.iter().find(|name| !known.contains(name))
    {
        let message = format!("the {what} `{name}` has no argument named `{unknown}`");
        let hint = match closest(unknown, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => usage(of, name, &arity),
        };
        return Some(WrongCall { message, hint });
    }
    let given = positional + named.len();
    // a named argument stands for one by position, or is one more: only too few of both are too few
    let wrong = positional > arity.most || given < arity.least;
    wrong.then(|| WrongCall {
        message: format!("the {what} `{name}` takes {}, not {positional}", takes(&arity)),
        hint: usage(of, name, &arity),
    })
}

fn takes(arity: &Arity) -> String {
    let noun = |n: usize| if n == 1 { "argument" } else { "arguments" };
    match (arity.least, arity.most) {
        (_, 0) => "no arguments by position".to_owned(),
        (least, usize::MAX) => format!("at least {least} {}", noun(least)),
        (least, most) if least == most => format!("{least} {}", noun(least)),
        (least, most) => format!("{least} to {most} arguments"),
    }
}

/// The shortest right call.
fn usage(of: Callable, name: &str, arity: &Arity) -> String {
    let mark = match of {
        Callable::Filter => "| ",
        Callable::Test => "is ",
        Callable::Function => "",
    };
    let places = match (&arity.named, arity.least) {
        (Named::These([first, ..]), 0) => format!("({first}=…)"),
        (_, 0) if of != Callable::Function => String::new(),
        (_, least) => format!("({})", vec!["…"; least].join(", ")),
    };
    format!("write `{mark}{name}{places}`")
}

fn arity(of: Callable, name: &str) -> Option<Arity> {
    let (least, most, names): (usize, usize, &'static [&'static str]) = match of {
        Callable::Filter => match name {
            "lower" | "upper" | "title" | "capitalize" | "length" | "count" | "items" | "reverse" | "lines" | "abs" | "first" | "last"
            | "list" | "string" | "bool" | "tojson" | "sha256" | "mask" | "mask_email" | "urlencode" | "iso" | "epoch_ms" => (0, 0, &[]),
            "trim" => (0, 1, &[]),
            "split" | "default" | "d" | "pluralize" => (0, 2, &[]),
            "attr" | "hmac_sha256" => (1, 1, &[]),
            "batch" | "slice" => (1, 2, &[]),
            "replace" => (2, 3, &["count"]),
            "join" => (0, 2, &["d", "attribute"]),
            "round" => (0, 2, &["precision", "method"]),
            "int" => (0, 2, &["default", "base"]),
            "float" => (0, 1, &["default"]),
            "sum" => (0, 2, &["attribute", "start"]),
            "indent" => (0, 3, &["width", "first", "blank"]),
            "dictsort" => (0, 0, &["by", "case_sensitive", "reverse"]),
            "min" | "max" | "unique" => (0, 0, &["attribute", "case_sensitive"]),
            "sort" => (0, 0, &["attribute", "case_sensitive", "reverse"]),
            "groupby" => (1, 1, &["attribute", "default", "case_sensitive"]),
            "truncate" => (0, 0, &["length", "killwords", "end", "leeway"]),
            "strftime" => (1, 1, &["tz"]),
            "dateformat" => (0, 0, &["tz"]),
            "map" => return Some(Arity { least: 1, most: usize::MAX, named: Named::Any }),
            "selectattr" | "rejectattr" => return Some(Arity { least: 1, most: usize::MAX, named: Named::Any }),
            _ => return None,
        },
        Callable::Test => match name {
            "undefined" | "defined" | "none" | "boolean" | "odd" | "even" | "number" | "integer" | "int" | "float" | "string"
            | "sequence" | "iterable" | "mapping" | "lower" | "upper" | "true" | "false" => (0, 0, &[]),
            "divisibleby" | "startingwith" | "endingwith" | "sameas" | "in" | "eq" | "equalto" | "==" | "ne" | "!=" | "lt" | "lessthan"
            | "<" | "le" | "<=" | "gt" | "greaterthan" | ">" | "ge" | ">=" => (1, 1, &[]),
            _ => return None,
        },
        Callable::Function => match name {
            "now" | "uuid4" => (0, 0, &[]),
            "uuid5" => (2, 2, &[]),
            "range" => (1, 3, &[]),
            "dict" | "namespace" => return Some(Arity { least: 0, most: 1, named: Named::Any }),
            _ => return None,
        },
    };
    Some(Arity { least, most, named: Named::These(names) })
}

#[cfg(test)]
mod tests {
    use minijinja::{ErrorKind, Value};

    use super::super::check::{FILTERS, TESTS};
    use super::super::functions::environment;
    use super::*;

    /// The kind of error that a call ends in, with a value and arguments that suit it as far as one value can.
    fn outcomes(of: Callable, name: &str, arguments: usize) -> Vec<Option<ErrorKind>> {
        let env = environment();
        let values = [Value::from("a"), Value::from(2), Value::from(vec![1, 2]), Value::from("2026-01-01T00:00:00Z")];
        let mut outcomes = Vec::new();
        for input in &values {
            for argument in &values {
                let mut state = env.empty_state();
                let all: Vec<Value> = std::iter::once(input).chain(std::iter::repeat_n(argument, arguments)).cloned().collect();
                outcomes.push(match of {
                    Callable::Filter => state.apply_filter(name, &all).err().map(|error| error.kind()),
                    Callable::Test => state.perform_test(name, &all).err().map(|error| error.kind()),
                    Callable::Function => {
                        let function = env.globals().find_map(|(known, value)| (known == name).then_some(value)).expect("a function");
                        function.call(&mut state, &all[1..]).err().map(|error| error.kind())
                    }
                });
            }
        }
        outcomes
    }

    #[test]
    fn the_table_is_the_engines() {
        let names = FILTERS.iter().map(|name| (Callable::Filter, *name)).chain(TESTS.iter().map(|name| (Callable::Test, *name)));
        let functions = ["range", "dict", "namespace", "uuid5"].map(|name| (Callable::Function, name));
        for (of, name) in names.chain(functions) {
            for arguments in 0..=4 {
                let outcomes = outcomes(of, name, arguments);
                let miscounted = |kind: &Option<ErrorKind>| matches!(kind, Some(ErrorKind::TooManyArguments | ErrorKind::MissingArgument));
                let refused = wrong_call(of, name, arguments, &[]).is_some();
                if arity(of, name).is_some() && outcomes.iter().any(miscounted) {
                    assert!(refused, "{name} does not take {arguments}");
                }
                if refused {
                    assert!(outcomes.iter().all(Option::is_some), "{name} takes {arguments}");
                }
            }
        }
    }

    #[test]
    fn named_arguments_are_known() {
        assert!(wrong_call(Callable::Filter, "round", 0, &["precision"]).is_none());
        assert!(wrong_call(Callable::Filter, "groupby", 0, &["attribute"]).is_none());
        let wrong = wrong_call(Callable::Filter, "truncate", 0, &["lenght"]).expect("a wrong name");
        assert_eq!(
            (wrong.message.as_str(), wrong.hint.as_str()),
            ("the filter `truncate` has no argument named `lenght`", "did you mean `length`?")
        );
    }
}
