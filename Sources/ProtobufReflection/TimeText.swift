/// Moments and durations as protobuf JSON has them.
enum TimeText {
    private static let firstSecond: Int64 = -62_135_596_800
    private static let lastSecond: Int64 = 253_402_300_799
    private static let longest: Int64 = 315_576_000_000

    static func timestamp(_ seconds: Int64, _ nanoseconds: Int64) throws(ReflectionError) -> String {
        guard (firstSecond...lastSecond).contains(seconds), (0...999_999_999).contains(nanoseconds) else {
            throw ReflectionError("a Timestamp is out of range")
        }
        let day = Int64((Double(seconds) / 86_400).rounded(.down))
        let second = seconds - day * 86_400
        let (year, month, date) = civil(day: day)
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let digits = String(year)
        return String(repeating: "0", count: 4 - digits.count) + digits + "-\(two(month))-\(two(date))"
            + "T\(two(second / 3_600)):\(two(second / 60 % 60)):\(two(second % 60))\(fraction(nanoseconds))Z"
    }

    static func duration(_ seconds: Int64, _ nanoseconds: Int64) throws(ReflectionError) -> String {
        guard seconds.magnitude <= UInt64(longest), nanoseconds.magnitude <= 999_999_999,
            !(seconds > 0 && nanoseconds < 0), !(seconds < 0 && nanoseconds > 0)
        else { throw ReflectionError("a Duration is out of range") }
        let sign = seconds == 0 && nanoseconds < 0 ? "-" : ""
        return "\(sign)\(seconds)\(fraction(Int64(nanoseconds.magnitude)))s"
    }

    private static func fraction(_ nanoseconds: Int64) -> String {
        if nanoseconds == 0 { return "" }
        var (digits, count) = (nanoseconds, 9)
        while count > 3, digits.isMultiple(of: 1_000) { (digits, count) = (digits / 1_000, count - 3) }
        let text = String(digits)
        return "." + String(repeating: "0", count: count - text.count) + text
    }

    /// The seconds and nanoseconds of `2026-01-02T03:04:05.678Z`; nil when it is none.
    static func timestamp(_ text: String) -> (Int64, Int64)? {
        var scanner = Scanner(text)
        guard let year = scanner.number(4), scanner.take("-"), let month = scanner.number(2), scanner.take("-"),
            let date = scanner.number(2), scanner.take("T"), let hour = scanner.number(2), scanner.take(":"),
            let minute = scanner.number(2), scanner.take(":"), let second = scanner.number(2),
            (1...12).contains(month), (1...31).contains(date), hour < 24, minute < 60, second < 60,
            civil(day: days(year, month, date)) == (year, month, date),
            let nanoseconds = scanner.fraction()
        else { return nil }
        var offset: Int64 = 0
        if !scanner.take("Z") {
            let isEast = scanner.take("+")
            guard isEast || scanner.take("-"), let hours = scanner.number(2), scanner.take(":"),
                let minutes = scanner.number(2), hours <= 13, minutes < 60
            else { return nil }
            offset = (hours * 3_600 + minutes * 60) * (isEast ? 1 : -1)
        }
        let seconds = days(year, month, date) * 86_400 + hour * 3_600 + minute * 60 + second - offset
        guard scanner.isAtEnd, (firstSecond...lastSecond).contains(seconds) else { return nil }
        return (seconds, nanoseconds)
    }

    /// The seconds and nanoseconds of `-1.5s`; nil when it is none.
    static func duration(_ text: String) -> (Int64, Int64)? {
        var scanner = Scanner(text)
        let isNegative = scanner.take("-")
        guard let seconds = scanner.digits(), let nanoseconds = scanner.fraction(), scanner.take("s"), scanner.isAtEnd,
            seconds <= longest
        else { return nil }
        return isNegative ? (-seconds, -nanoseconds) : (seconds, nanoseconds)
    }

    // MARK: The calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms")

    private static func days(_ year: Int64, _ month: Int64, _ date: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + date - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(day: Int64) -> (Int64, Int64, Int64) {
        let day = day + 719_468
        let era = (day >= 0 ? day : day - 146_096) / 146_097
        let dayOfEra = day - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private struct Scanner {
        private var rest: ArraySlice<UInt8>

        init(_ text: String) { rest = ArraySlice(text.utf8) }

        var isAtEnd: Bool { rest.isEmpty }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard let first = rest.first, UInt32(first) == character.value else { return false }
            rest.removeFirst()
            return true
        }

        private mutating func digit() -> Int64? {
            guard let first = rest.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return nil }
            rest.removeFirst()
            return Int64(first - UInt8(ascii: "0"))
        }

        mutating func number(_ count: Int) -> Int64? {
            var number: Int64 = 0
            for _ in 0..<count {
                guard let digit = digit() else { return nil }
                number = number * 10 + digit
            }
            return number
        }

        mutating func digits() -> Int64? {
            guard var number = digit() else { return nil }
            while let next = digit() {
                if number > longest { return nil }
                number = number * 10 + next
            }
            return number
        }

        /// Nanoseconds of `.5`; 0 when there is no fraction, nil when it is none of 1 to 9 digits.
        mutating func fraction() -> Int64? {
            guard take(".") else { return 0 }
            var (number, count): (Int64, Int) = (0, 0)
            while let next = digit() {
                number = number * 10 + next
                count += 1
                if count > 9 { return nil }
            }
            if count == 0 { return nil }
            for _ in count..<9 { number *= 10 }
            return number
        }
    }
}
