//! Days and times of the calendar, for the names of files and the heads of reports.

/// `2026-11-21T12-29-33Z` from seconds since 1970, in UTC; no colons, for the name of a file.
///
/// The calendar is Howard Hinnant's `civil_from_days`.
pub(in crate::bench) fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Counted from March.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}Z")
}

/// `21 November 2026, 12:29 UTC`
pub(in crate::bench) fn in_words(seconds: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let date = date(seconds);
    let number = |range: std::ops::Range<usize>| date[range].parse::<usize>().unwrap_or(1);
    let (day, month) = (number(8..10), MONTHS[number(5..7) - 1]);
    format!("{day} {month} {}, {}:{} UTC", &date[..4], &date[11..13], &date[14..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00-00-00Z");
        assert_eq!(date(951_782_399), "2000-02-28T23-59-59Z");
        assert_eq!(date(951_782_400), "2000-02-29T00-00-00Z");
        assert_eq!(date(1_709_251_199), "2024-02-29T23-59-59Z");
        assert_eq!(date(1_795_264_173), "2026-11-21T12-29-33Z");
    }

    #[test]
    fn a_date_is_told_in_words() {
        assert_eq!(in_words(1_795_264_173), "21 November 2026, 12:29 UTC");
        assert_eq!(in_words(0), "1 January 1970, 00:00 UTC");
    }
}
