//! Who applies: a synthetic customer. Names hold quotes, line breaks and many scripts on purpose; addresses are of example.org.

use super::dice::Dice;

const NAMES: &[(&str, &str)] = &[
    ("Ada", "Larsen"),
    ("Søren", "Ågård"),
    ("Siobhán", "O'Brien"),
    ("Anna \"Nan\"", "Müller"),
    ("José", "García López"),
    ("Zoë", "D’Angelo"),
    ("Łukasz", "Wójcik"),
    ("李", "小龍"),
    ("Олена", "Шевченко"),
    ("Jean\\Luc", "Martin"),
    ("Mary\nAnn", "<Smith>"),
    ("नेहा", "शर्मा"),
    ("Ola", "Nordmann"),
    ("Emma", "Virtanen"),
    ("Noah", "Jansen"),
    ("Lea", "Rossi"),
];

/// Country, locale, currency, dialling code. Norway's code is there because YAML 1.1 takes it for false.
const HOMES: &[(&str, &str, &str, &str)] = &[
    ("NO", "nb-NO", "NOK", "+47"),
    ("DE", "de-DE", "EUR", "+49"),
    ("IE", "en-IE", "EUR", "+353"),
    ("PL", "pl-PL", "PLN", "+48"),
    ("FR", "fr-FR", "EUR", "+33"),
    ("FI", "fi-FI", "EUR", "+358"),
];

/// What is decided once per person.
pub(super) struct Person {
    pub user: String,
    pub device: String,
    pub ip: String,
    pub first_name: &'static str,
    pub last_name: &'static str,
    pub country: &'static str,
    pub locale: &'static str,
    pub currency: &'static str,
    pub phone: String,
    pub channel: &'static str,
    pub variant: &'static str,
    pub product: &'static str,
    /// Whether the app is a new one, which says which version of an event it sends.
    pub new_app: bool,
}

impl Person {
    pub(super) fn draw(dice: &mut Dice) -> Person {
        let (first_name, last_name) = dice.pick(NAMES);
        let (country, locale, currency, dial) = dice.pick(HOMES);
        Person {
            user: format!("usr-{}", dice.letters(10)),
            device: format!("anon-{}", dice.letters(8)),
            // 203.0.113.0/24 is set aside for documentation
            ip: format!("203.0.113.{}", dice.below(256)),
            first_name,
            last_name,
            country,
            locale,
            currency,
            phone: format!("{dial}{}", 40_000_000 + dice.below(59_999_999)),
            channel: dice.weighted(&[(40, "web"), (32, "ios"), (22, "android"), (6, "branch")]),
            variant: dice.pick(&["a", "b"]),
            product: dice.weighted(&[(50, "classic"), (30, "gold"), (8, "platinum"), (12, "travel")]),
            new_app: dice.chance(0.7),
        }
    }
}
