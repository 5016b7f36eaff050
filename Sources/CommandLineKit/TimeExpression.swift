/// Reads the moments and durations that people write on a command line.
public enum TimeExpression {
    /// What is accepted, for error messages.
    public static let accepted =
        "accepted: 2026-03-01T10:00:00Z, 2026-03-01, @1767225600, 2h or -2h ago, PT2H, now, today"

    /// A moment in nanoseconds since the Unix epoch.
    ///
    /// RFC 3339 (also a day alone, at its start in UTC), `@` and Unix seconds with an optional fraction, a duration
    /// (`2h`, `-2h`, `7d`, `PT2H`: that long ago), `now`, `today` (its start in UTC).
    public static func moment(_ text: String, now: Int64) throws(UsageError) -> Int64 {
        let error = UsageError("\(Escape.shown(text, quoted: true)) is no time", hint: accepted)
        switch text.lowercased() {
        case "now": return now
        case "today": return now - (now % day + day) % day
        default: break
        }
        if text.hasPrefix("@") {
            guard let time = decimal(text.dropFirst(), unit: second) else { throw error }
            return time
        }
        if let time = rfc3339(text) { return time }
        let unsigned = text.hasPrefix("-") ? String(text.dropFirst()) : text
        guard let length = nanoseconds(unsigned) else { throw error }
        let (time, overflow) = now.subtractingReportingOverflow(length)
        if overflow { throw error }
        return time
    }

    /// A duration in nanoseconds: `500ms`, `10s`, `2m`, `1h30m`, `7d`, `2w`, or ISO 8601 (`PT2H`, `P1DT12H`); at least 0.
    public static func duration(_ text: String) throws(UsageError) -> Int64 {
        if let length = nanoseconds(text) { return length }
        throw UsageError(
            "\(Escape.shown(text, quoted: true)) is no duration", hint: "accepted: 500ms, 10s, 2m, 1h30m, 7d, PT2H")
    }

    private static let second: Int64 = 1_000_000_000
    private static let day: Int64 = 86_400 * second
    private static let units: [(String, Int64)] = [
        ("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", second), ("m", 60 * second), ("h", 3_600 * second),
        ("d", day), ("w", 7 * day),
    ]

    private static func nanoseconds(_ text: String) -> Int64? {
        if text.hasPrefix("P") { return iso8601(text.dropFirst()) }
        var rest = text[...]
        var total: Int64 = 0
        if rest.isEmpty { return nil }
        while !rest.isEmpty {
            let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(number.count)
            let name = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(name.count)
            guard let unit = units.first(where: { $0.0 == name })?.1, let part = decimal(number, unit: unit) else {
                return nil
            }
            let (sum, overflow) = total.addingReportingOverflow(part)
            if overflow { return nil }
            total = sum
        }
        return total
    }

    private static func iso8601(_ text: Substring) -> Int64? {
        let parts = text.split(separator: "T", maxSplits: 1, omittingEmptySubsequences: false)
        var total: Int64 = 0
        var isEmpty = true
        for (index, part) in parts.enumerated() {
            let units: [Character: Int64] =
                index == 0 ? ["D": day, "W": 7 * day] : ["H": 3_600 * second, "M": 60 * second, "S": second]
            var rest = part
            while !rest.isEmpty {
                let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
                rest = rest.dropFirst(number.count)
                guard let letter = rest.popFirst(), let unit = units[letter], let length = decimal(number, unit: unit)
                else { return nil }
                let (sum, overflow) = total.addingReportingOverflow(length)
                if overflow { return nil }
                total = sum
                isEmpty = false
            }
        }
        return isEmpty ? nil : total
    }

    /// A decimal number of units, exact to the nanosecond.
    private static func decimal(_ text: Substring, unit: Int64) -> Int64? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, !whole.isEmpty, let number = Int64(whole), !whole.hasPrefix("+") else {
            return nil
        }
        let (base, overflow) = number.multipliedReportingOverflow(by: unit)
        if overflow { return nil }
        guard parts.count == 2 else { return base }
        guard !parts[1].isEmpty, parts[1].allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
        var fraction: Int64 = 0
        var scale = unit
        for digit in parts[1] {
            if scale % 10 != 0 { break }
            scale /= 10
            fraction += scale * Int64(digit.wholeNumberValue ?? 0)
        }
        let (total, overflow2) =
            whole.hasPrefix("-")
            ? base.subtractingReportingOverflow(fraction) : base.addingReportingOverflow(fraction)
        return overflow2 ? nil : total
    }

    private static func rfc3339(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        func number(_ start: Int, _ count: Int) -> Int64? {
            guard bytes.count >= start + count else { return nil }
            var value: Int64 = 0
            for byte in bytes[start..<start + count] {
                guard (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            return value
        }
        func isByte(_ index: Int, _ character: Character) -> Bool {
            index < bytes.count && bytes[index] == character.asciiValue
        }
        guard let year = number(0, 4), isByte(4, "-"), let month = number(5, 2), isByte(7, "-"),
            let dayOfMonth = number(8, 2), (1...12).contains(month), dayOfMonth >= 1
        else { return nil }
        let date = CivilDate(year: year, month: month, day: dayOfMonth)
        // A day that the month does not have comes back as another one.
        guard CivilDate(daysSinceEpoch: date.daysSinceEpoch) == date else { return nil }
        var seconds = date.daysSinceEpoch * 86_400
        if bytes.count == 10 { return scaled(seconds, 0) }
        guard bytes[10] == 0x54 || bytes[10] == 0x74 || bytes[10] == 0x20, let hour = number(11, 2), isByte(13, ":"),
            let minute = number(14, 2), hour < 24, minute < 60
        else { return nil }
        var index = 16
        var secondOfMinute: Int64 = 0
        if isByte(16, ":") {
            guard let value = number(17, 2), value < 60 else { return nil }
            secondOfMinute = value
            index = 19
        }
        var nanoseconds: Int64 = 0
        if isByte(index, ".") {
            index += 1
            var scale = second / 10
            let start = index
            while index < bytes.count, (0x30...0x39).contains(bytes[index]) {
                nanoseconds += Int64(bytes[index] - 0x30) * scale
                scale /= 10
                index += 1
            }
            if index == start { return nil }
        }
        seconds += hour * 3_600 + minute * 60 + secondOfMinute
        if isByte(index, "Z") || isByte(index, "z") {
            return bytes.count == index + 1 ? scaled(seconds, nanoseconds) : nil
        }
        guard isByte(index, "+") || isByte(index, "-"), let offsetHour = number(index + 1, 2), isByte(index + 3, ":"),
            let offsetMinute = number(index + 4, 2), bytes.count == index + 6, offsetHour < 24, offsetMinute < 60
        else { return nil }
        let offset = offsetHour * 3_600 + offsetMinute * 60
        return scaled(isByte(index, "+") ? seconds - offset : seconds + offset, nanoseconds)
    }

    private static func scaled(_ seconds: Int64, _ nanoseconds: Int64) -> Int64? {
        let (base, overflow) = seconds.multipliedReportingOverflow(by: second)
        let (total, overflow2) = base.addingReportingOverflow(nanoseconds)
        return overflow || overflow2 ? nil : total
    }
}
