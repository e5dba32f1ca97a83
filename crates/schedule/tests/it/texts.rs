//! What is refused, in whose words, and what is warned of.
use proptest::prelude::*;
use schedule::{Field, Schedule, Warning, Zone};

fn error(text: &str) -> String {
    text.parse::<Schedule>().unwrap_err().to_string()
}

#[test]
fn an_error_names_the_field_the_column_and_what_was_expected() {
    assert_eq!(
        error("30 24 * * *"),
        "column 4: hour: found `24`, expected a number from 0 to 23"
    );
    assert_eq!(
        error("  30 \t24 * * *"),
        "column 7: hour: found `24`, expected a number from 0 to 23"
    );
    assert_eq!(
        error("0 0 * * 1,2,9"),
        "column 13: day of week: found `9`, expected a number from 0 to 7 (0 and 7 are Sunday), or a name from SUN to SAT"
    );
}

#[test]
fn a_text_of_another_form_is_told_the_forms() {
    assert!(error(" ").starts_with("a schedule is empty"));
    assert!(error("* * * *").starts_with("found 4 fields, expected 5 fields (minute, hour,"));
    assert!(error("6h").starts_with("found 1 field, expected 5 fields"));
    assert!(error("* * * * * * * *").starts_with("found 8 fields"));
    assert_eq!(
        error(" @dayly"),
        "column 2: found `@dayly`, expected the name of a schedule: did you mean `@daily`?"
    );
    assert_eq!(
        error("@every 6h"),
        "column 1: found `@every 6h`, expected `every` without `@`, such as `every 6h`"
    );
    assert!(
        error("@reboot").ends_with("expected one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually")
    );
    assert_eq!(
        error("every 6 h"),
        "column 7: found `6`, expected a number with one of the units s, m, h, d, w"
    );
    assert!(error("every").starts_with("column 6: found ``, expected a length of time such as"));
}

#[test]
fn a_text_is_given_back_as_it_was_written() {
    for text in ["30 2 * * *", "0  9-17/4\t* * mon-FRI", "@Daily", "every 1h 30m"] {
        assert_eq!(format!(" {text}\n").parse::<Schedule>().unwrap().to_string(), text);
    }
}

#[test]
fn what_was_perhaps_not_meant_is_warned_of() {
    let warnings = |text: &str| text.parse::<Schedule>().unwrap().warnings().to_vec();
    let field = Field::DayOfMonth;
    assert_eq!(warnings("0 0 */2 * MON"), [Warning::EitherDay { field }]);
    let field = Field::DayOfWeek;
    assert_eq!(warnings("0 0 1-7 * */7"), [Warning::EitherDay { field }]);
    for fine in [
        "0 0 */2 * *",
        "0 0 * * */2",
        "0 0 13 * FRI",
        "*/5 */2 * * MON",
        "0 0 */2 * ?",
        "0 0 30 2 MON",
    ] {
        assert_eq!(warnings(fine), [], "{fine}");
    }
    let shown = Warning::EitherDay { field }.to_string();
    assert!(
        shown.starts_with("the day of week and the day of month are both restricted"),
        "{shown}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_panics_and_what_is_read_is_read_again(text in "[ \\t0-9*/,?@a-zA-Z-]{0,40}|.{0,40}") {
        match text.parse::<Schedule>() {
            Ok(schedule) => {
                let again: Schedule = schedule.to_string().parse().unwrap();
                prop_assert_eq!(&again, &schedule);
                let now = "2027-01-01T00:00:00Z".parse().unwrap();
                prop_assert_eq!(again.next_after(now, Zone::UTC), schedule.next_after(now, Zone::UTC));
            }
            Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
        }
    }

    #[test]
    fn a_zone_is_a_name_of_the_database_and_nothing_else(text in "[A-Za-z/_]{0,24}|.{0,200}", place in any::<prop::sample::Index>()) {
        let name = place.get(&chrono_tz::TZ_VARIANTS).name();
        prop_assert_eq!(name.parse::<Zone>().unwrap().name(), name);
        if let Err(error) = text.parse::<Zone>() {
            prop_assert!(!error.to_string().contains(char::is_control));
            prop_assert!(error.nearest.is_none_or(|name| name.parse::<Zone>().is_ok()));
        }
    }
}
