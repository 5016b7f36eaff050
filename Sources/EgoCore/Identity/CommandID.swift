/// Names one command of one entity, so that a retry of it has no second effect (law 7).
///
/// 1 to 255 UTF-8 bytes, chosen by the caller; unique within the entity.
public struct CommandID: Sendable, Hashable, CustomStringConvertible {
    /// The identifier's text.
    public let rawValue: String

    /// The most UTF-8 bytes an identifier may have.
    public static let maximumBytes = 255

    /// Wraps an identifier; nil when it is empty, longer than ``maximumBytes``, or holds U+0000.
    public init?(_ rawValue: String) {
        guard !rawValue.isEmpty, rawValue.utf8.count <= Self.maximumBytes, !rawValue.utf8.contains(0) else {
            return nil
        }
        self.rawValue = rawValue
    }

    package init(stored rawValue: String) {
        self.rawValue = rawValue
    }

    public static func == (left: Self, right: Self) -> Bool {
        left.rawValue.utf8.elementsEqual(right.rawValue.utf8)
    }

    public func hash(into hasher: inout Hasher) {
        var text = rawValue
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    public var description: String { rawValue }
}
