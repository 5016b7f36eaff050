/// How moments are written.
public enum TimeStyle: Sendable, Hashable {
    /// `2026-03-01T10:00:00.000000000Z`
    case rfc3339
    /// The same, without a fraction that is zero
    case rfc3339Brief
    /// `3 minutes ago`, seen from a moment in nanoseconds since the Unix epoch.
    case relative(to: Int64)
    /// Nanoseconds since the Unix epoch.
    case unix

    /// A moment in nanoseconds since the Unix epoch, as text.
    public func text(_ unixNanoseconds: Int64) -> String {
        switch self {
        case .unix: String(unixNanoseconds)
        case .rfc3339: Self.rfc3339(unixNanoseconds, isBrief: false)
        case .rfc3339Brief: Self.rfc3339(unixNanoseconds, isBrief: true)
        case .relative(let now): Self.relative(unixNanoseconds, now)
        }
    }

    private static func relative(_ time: Int64, _ now: Int64) -> String {
        let (difference, overflow) = now.subtractingReportingOverflow(time)
        if overflow { return rfc3339(time, isBrief: true) }
        let seconds = difference.magnitude / 1_000_000_000
        if seconds == 0 { return "now" }
        let units: [(UInt64, String)] = [
            (31_557_600, "year"), (2_629_800, "month"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"),
        ]
        let (size, name) = units.first { seconds >= $0.0 } ?? (1, "second")
        let count = seconds / size
        let text = "\(count) \(name)\(count == 1 ? "" : "s")"
        return difference > 0 ? "\(text) ago" : "in \(text)"
    }

    private static func rfc3339(_ time: Int64, isBrief: Bool) -> String {
        let second: Int64 = 1_000_000_000
        let (quotient, remainder) = time.quotientAndRemainder(dividingBy: second)
        let seconds = remainder < 0 ? quotient - 1 : quotient
        let nanoseconds = remainder < 0 ? remainder + second : remainder
        let days = seconds >= 0 ? seconds / 86_400 : (seconds + 1) / 86_400 - 1
        let rest = seconds - days * 86_400
        let date = CivilDate(daysSinceEpoch: days)
        func padded(_ number: Int64, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let clock = "\(padded(rest / 3_600, 2)):\(padded(rest / 60 % 60, 2)):\(padded(rest % 60, 2))"
        let fraction = isBrief && nanoseconds == 0 ? "" : "." + padded(nanoseconds, 9)
        return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))T\(clock)\(fraction)Z"
    }
}

/// A day of the proleptic Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days` and `days_from_civil`.
struct CivilDate: Hashable {
    var year: Int64
    var month: Int64
    var day: Int64

    init(year: Int64, month: Int64, day: Int64) {
        (self.year, self.month, self.day) = (year, month, day)
    }

    init(daysSinceEpoch: Int64) {
        let shifted = daysSinceEpoch + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    var daysSinceEpoch: Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}
