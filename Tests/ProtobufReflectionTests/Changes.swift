import EgoTestKit

/// Bytes of chance, and what damage does to bytes and texts.
extension SeededGenerator {
    /// Bytes half of which are small: tags and lengths of small messages, which go deeper than any bytes do.
    mutating func bytes(_ count: ClosedRange<Int>, small: UInt8 = 60) -> [UInt8] {
        (0..<Int.random(in: count, using: &self)).map { _ in
            .random(in: 0...(Bool.random(using: &self) ? small : 255), using: &self)
        }
    }

    /// Flips, changes, removes, repeats or inserts a byte or a few.
    mutating func change(_ bytes: inout [UInt8]) {
        let place = Int.random(in: 0..<bytes.count, using: &self)
        switch Int.random(in: 0..<6, using: &self) {
        case 0, 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &self)
        case 2: bytes[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &self) ?? 0
        case 3: bytes.remove(at: place)
        case 4: bytes.insert(.random(in: 0...255, using: &self), at: place)
        default:
            let end = min(bytes.count, place + Int.random(in: 1...12, using: &self))
            if Bool.random(using: &self) {
                bytes.insert(contentsOf: bytes[place..<end], at: place)
            } else {
                bytes.removeSubrange(place..<end)
            }
        }
    }

    /// As the other, by characters; what is inserted is one of the tokens.
    mutating func change(_ text: inout [Character], tokens: [String]) {
        let place = Int.random(in: 0..<text.count, using: &self)
        let token = tokens.randomElement(using: &self) ?? ""
        switch Int.random(in: 0..<6, using: &self) {
        case 0: text.replaceSubrange(place...place, with: token)
        case 1, 2: text.insert(contentsOf: token, at: place)
        case 3: text.remove(at: place)
        case 4: text.swapAt(place, Int.random(in: 0..<text.count, using: &self))
        default:
            let end = min(text.count, place + Int.random(in: 1...12, using: &self))
            if Bool.random(using: &self) {
                text.insert(contentsOf: text[place..<end], at: place)
            } else {
                text.removeSubrange(place..<end)
            }
        }
    }
}
