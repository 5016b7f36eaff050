/// Bytes on their way to a file, in memory of their own: of an array, each append would ask anew whether it is shared.
///
/// Not shared between tasks.
final class TransferBuffer {
    @exclusivity(unchecked) private var start: UnsafeMutablePointer<UInt8>
    @exclusivity(unchecked) private var capacity: Int
    @exclusivity(unchecked) private(set) var count = 0

    init(capacity: Int = 1 << 16) {
        self.capacity = capacity
        start = .allocate(capacity: capacity)
    }

    deinit { start.deallocate() }

    /// What was appended, until something else is.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

    func removeAll() { count = 0 }

    /// Removes what was appended since ``count`` was this.
    func remove(from count: Int) { self.count = count }

    /// Room for so many bytes behind what is there; what is written to it counts once ``count`` says so.
    @inline(__always)
    private func room(_ wanted: Int) -> UnsafeMutablePointer<UInt8> {
        if capacity - count < wanted { grow(wanted) }
        return start + count
    }

    @inline(never)
    private func grow(_ wanted: Int) {
        capacity = max(capacity * 2, count + wanted)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        larger.update(from: start, count: count)
        start.deallocate()
        start = larger
    }

    @inline(__always)
    func append(_ byte: UInt8) {
        room(1).pointee = byte
        count += 1
    }

    @inline(__always)
    func append(_ text: StaticString) {
        room(text.utf8CodeUnitCount).update(from: text.utf8Start, count: text.utf8CodeUnitCount)
        count += text.utf8CodeUnitCount
    }

    func append(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let first = bytes.baseAddress else { return }
        room(bytes.count).update(from: first, count: bytes.count)
        count += bytes.count
    }

    func append(_ bytes: [UInt8]) { bytes.withUnsafeBufferPointer { append($0) } }

    func append(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }

    /// A number in decimal digits.
    func append(decimal number: UInt64) {
        let largest = 20
        let room = room(largest)
        // From the last digit to the first, behind where they will be.
        var (rest, first) = (number, largest)
        while rest >= 100 {
            let (quotient, pair) = rest.quotientAndRemainder(dividingBy: 100)
            first -= 2
            room[first] = Self.zero + UInt8(truncatingIfNeeded: pair / 10)
            room[first + 1] = Self.zero + UInt8(truncatingIfNeeded: pair % 10)
            rest = quotient
        }
        if rest >= 10 {
            first -= 1
            room[first] = Self.zero + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        first -= 1
        room[first] = Self.zero + UInt8(truncatingIfNeeded: rest)
        if first > 0 { room.update(from: room + first, count: largest - first) }
        count += largest - first
    }

    func append(decimal number: Int64) {
        if number < 0 { append(UInt8(ascii: "-")) }
        append(decimal: number.magnitude)
    }

    private static let zero = UInt8(ascii: "0")

    /// A string of JSON; everything but quotation marks, backslashes and control characters is there as it is.
    func append(quoted text: String) {
        var text = text
        text.withUTF8 { bytes in
            append(UInt8(ascii: "\""))
            var room = room(bytes.count)
            var first = 0
            for index in bytes.indices {
                let byte = bytes[index]
                if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte != 0x7f {
                    room[index - first] = byte
                    continue
                }
                count += index - first
                append(escaped: byte)
                first = index + 1
                room = self.room(bytes.count - first)
            }
            count += bytes.count - first
            append(UInt8(ascii: "\""))
        }
    }

    private func append(escaped byte: UInt8) {
        append(UInt8(ascii: "\\"))
        if byte >= 0x20, byte != 0x7f {
            append(byte)
            return
        }
        append("u00")
        for digit in [byte >> 4, byte & 15] { append(digit < 10 ? Self.zero + digit : UInt8(ascii: "a") - 10 + digit) }
    }

    func append(base64 bytes: UnsafeBufferPointer<UInt8>) {
        guard let first = bytes.baseAddress else { return }
        let room = UnsafeMutableRawPointer(room((bytes.count + 2) / 3 * 4))
        count += Base64.encode(UnsafeRawBufferPointer(start: first, count: bytes.count), to: room)
    }

    /// What a text stands for; false, and nothing, when it is no Base64.
    func append(decodingBase64 text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let more = Base64.decode(text, to: room(text.count)) else { return false }
        count += more
        return true
    }
}
