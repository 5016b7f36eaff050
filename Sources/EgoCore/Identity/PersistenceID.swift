#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Names one entity within a store.
///
/// 1 to 255 Unicode scalars (the width of eGo for Go's `varchar(255)` columns), without U+0000.
/// Two identifiers are equal when their UTF-8 bytes are: no Unicode normalization takes place, unlike with `String`,
/// so that what is stored is exactly what was given. Ordered by UTF-8 bytes, as both databases order them.
public struct PersistenceID: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The identifier's text, exactly as it was given.
    public let rawValue: String

    /// The most Unicode scalars an identifier may have.
    public static let maximumScalars = 255

    /// Checks and wraps an identifier.
    ///
    /// - Throws: ``InvalidPersistenceID`` when the text is empty, too long, or holds U+0000.
    public init(_ text: String) throws(InvalidPersistenceID) {
        if text.utf8.isEmpty { throw InvalidPersistenceID(reason: .empty) }
        if text.utf8.count > Self.maximumScalars {
            let scalars = text.unicodeScalars.count
            if scalars > Self.maximumScalars { throw InvalidPersistenceID(reason: .tooLong(scalars: scalars)) }
        }
        if text.utf8.contains(0) { throw InvalidPersistenceID(reason: .containsNull) }
        self.rawValue = text
    }

    /// Wraps text that came out of a store, where it was checked when it went in.
    package init(stored text: String) {
        self.rawValue = text
    }

    public static func == (left: Self, right: Self) -> Bool {
        var (left, right) = (left.rawValue, right.rawValue)
        return left.withUTF8 { left in
            right.withUTF8 { right in
                // Most comparisons are of an identifier with itself, as after a look-up in a dictionary.
                guard left.count == right.count, let one = left.baseAddress, let other = right.baseAddress else {
                    return left.count == right.count
                }
                return one == other || memcmp(one, other, left.count) == 0
            }
        }
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.rawValue.utf8.lexicographicallyPrecedes(right.rawValue.utf8)
    }

    public func hash(into hasher: inout Hasher) {
        var text = rawValue
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    public var description: String { rawValue }
}

/// Why a text cannot be a persistence ID.
public struct InvalidPersistenceID: Error, Sendable, Equatable, CustomStringConvertible {
    /// The rule that the text breaks.
    public enum Reason: Sendable, Equatable {
        case empty
        case tooLong(scalars: Int)
        case containsNull
    }

    /// The rule that the text breaks.
    public let reason: Reason

    /// Names the rule that was broken.
    public init(reason: Reason) {
        self.reason = reason
    }

    public var description: String {
        switch reason {
        case .empty: "a persistence ID cannot be empty"
        case .tooLong(let scalars):
            "a persistence ID has at most \(PersistenceID.maximumScalars) characters, this one has \(scalars)"
        case .containsNull: "a persistence ID cannot hold the character U+0000"
        }
    }
}
