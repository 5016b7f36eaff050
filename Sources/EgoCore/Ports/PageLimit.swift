/// The bounds of one page that is read or written: whichever is reached first ends it.
public struct PageLimit: Sendable, Hashable {
    /// The most rows; at least 1.
    public var rows: Int
    /// The most payload bytes; a page holds at least one row, however large.
    public var bytes: Int

    /// 5,000 rows and 16 MiB, the largest page that an operation uses.
    public static let standard = PageLimit(rows: 5_000, bytes: 16 << 20)

    /// Bounds; `rows` and `bytes` below 1 count as 1.
    public init(rows: Int, bytes: Int = Self.standard.bytes) {
        self.rows = max(1, rows)
        self.bytes = max(1, bytes)
    }
}
