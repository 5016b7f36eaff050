/// The 64-bit XXH3 hash with the default secret and seed 0.
///
/// Source: the xxHash specification, doc/xxhash_spec.md of github.com/Cyan4973/xxHash (sections "XXH3").
enum XXH3 {
    private static let prime32x1: UInt64 = 0x9E37_79B1
    private static let prime32x2: UInt64 = 0x85EB_CA77
    private static let prime32x3: UInt64 = 0xC2B2_AE3D
    private static let prime64x1: UInt64 = 0x9E37_79B1_85EB_CA87
    private static let prime64x2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let prime64x3: UInt64 = 0x1656_67B1_9E37_79F9
    private static let prime64x4: UInt64 = 0x85EB_CA77_C2B2_AE63
    private static let prime64x5: UInt64 = 0x27D4_EB2F_1656_67C5
    private static let primeMX1: UInt64 = 0x1656_6791_9E37_79F9
    private static let primeMX2: UInt64 = 0x9FB2_1C65_1E98_DF25

    private static let secret: [UInt8] = [
        0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
        0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
        0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
        0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
        0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
        0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
        0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
        0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
        0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
        0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
        0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
        0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
    ]

    /// The hash of `input`.
    static func hash64(_ input: [UInt8]) -> UInt64 {
        input.withUnsafeBytes { hash64($0) }
    }

    /// The hash of `input`.
    static func hash64(_ input: UnsafeRawBufferPointer) -> UInt64 {
        secret.withUnsafeBytes { secret in
            switch input.count {
            case 0: avalanche64(read64(secret, 56) ^ read64(secret, 64))
            case 1...3: hash1to3(input, secret)
            case 4...8: hash4to8(input, secret)
            case 9...16: hash9to16(input, secret)
            case 17...128: hash17to128(input, secret)
            case 129...240: hash129to240(input, secret)
            default: hashLong(input, secret)
            }
        }
    }

    private static func read64(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    private static func read32(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        UInt64(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }

    private static func avalanche(_ value: UInt64) -> UInt64 {
        var hash = value ^ (value >> 37)
        hash &*= primeMX1
        return hash ^ (hash >> 32)
    }

    private static func avalanche64(_ value: UInt64) -> UInt64 {
        var hash = value ^ (value >> 33)
        hash &*= prime64x2
        hash ^= hash >> 29
        hash &*= prime64x3
        return hash ^ (hash >> 32)
    }

    private static func foldedProduct(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.low ^ product.high
    }

    private static func hash1to3(_ input: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer) -> UInt64 {
        let count = input.count
        let combined =
            UInt64(input[count - 1]) | UInt64(count) << 8 | UInt64(input[0]) << 16 | UInt64(input[count >> 1]) << 24
        return avalanche64((read32(secret, 0) ^ read32(secret, 4)) ^ combined)
    }

    private static func hash4to8(_ input: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer) -> UInt64 {
        let count = input.count
        let combined = read32(input, count - 4) &+ (read32(input, 0) << 32)
        var hash = (read64(secret, 8) ^ read64(secret, 16)) ^ combined
        hash ^= (hash << 49 | hash >> 15) ^ (hash << 24 | hash >> 40)
        hash &*= primeMX2
        hash ^= (hash >> 35) &+ UInt64(count)
        hash &*= primeMX2
        return hash ^ (hash >> 28)
    }

    private static func hash9to16(_ input: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer) -> UInt64 {
        let count = input.count
        let low = (read64(secret, 24) ^ read64(secret, 32)) ^ read64(input, 0)
        let high = (read64(secret, 40) ^ read64(secret, 48)) ^ read64(input, count - 8)
        return avalanche(UInt64(count) &+ low.byteSwapped &+ high &+ foldedProduct(low, high))
    }

    private static func mix16(
        _ input: UnsafeRawBufferPointer, _ offset: Int, _ secret: UnsafeRawBufferPointer, _ secretOffset: Int
    ) -> UInt64 {
        foldedProduct(
            read64(input, offset) ^ read64(secret, secretOffset),
            read64(input, offset + 8) ^ read64(secret, secretOffset + 8))
    }

    private static func hash17to128(_ input: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer) -> UInt64 {
        let count = input.count
        var hash = UInt64(count) &* prime64x1
        for round in stride(from: (count - 1) / 32, through: 0, by: -1) {
            hash &+= mix16(input, 16 * round, secret, 32 * round)
            hash &+= mix16(input, count - 16 * (round + 1), secret, 32 * round + 16)
        }
        return avalanche(hash)
    }

    private static func hash129to240(_ input: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer) -> UInt64 {
        let count = input.count
        var hash = UInt64(count) &* prime64x1
        for round in 0..<8 { hash &+= mix16(input, 16 * round, secret, 16 * round) }
        hash = avalanche(hash)
        for round in 8..<(count / 16) { hash &+= mix16(input, 16 * round, secret, 16 * (round - 8) + 3) }
        hash &+= mix16(input, count - 16, secret, 136 - 17)
        return avalanche(hash)
    }

    private static func hashLong(_ input: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer) -> UInt64 {
        let count = input.count
        var lanes: [UInt64] = [
            prime32x3, prime64x1, prime64x2, prime64x3, prime64x4, prime32x2, prime64x5, prime32x1,
        ]
        let stripesPerBlock = (secret.count - 64) / 8
        let blockLength = 64 * stripesPerBlock
        let blocks = (count - 1) / blockLength
        for block in 0..<blocks {
            for stripe in 0..<stripesPerBlock {
                accumulate(&lanes, input, block * blockLength + 64 * stripe, secret, 8 * stripe)
            }
            for lane in 0..<8 {
                lanes[lane] ^= lanes[lane] >> 47
                lanes[lane] ^= read64(secret, secret.count - 64 + 8 * lane)
                lanes[lane] &*= prime32x1
            }
        }
        let stripes = ((count - 1) - blockLength * blocks) / 64
        for stripe in 0..<stripes {
            accumulate(&lanes, input, blocks * blockLength + 64 * stripe, secret, 8 * stripe)
        }
        accumulate(&lanes, input, count - 64, secret, secret.count - 64 - 7)
        var hash = UInt64(count) &* prime64x1
        for pair in 0..<4 {
            hash &+= foldedProduct(
                lanes[2 * pair] ^ read64(secret, 11 + 16 * pair), lanes[2 * pair + 1] ^ read64(secret, 19 + 16 * pair))
        }
        return avalanche(hash)
    }

    private static func accumulate(
        _ lanes: inout [UInt64], _ input: UnsafeRawBufferPointer, _ offset: Int, _ secret: UnsafeRawBufferPointer,
        _ secretOffset: Int
    ) {
        for lane in 0..<8 {
            let value = read64(input, offset + 8 * lane)
            let keyed = value ^ read64(secret, secretOffset + 8 * lane)
            lanes[lane ^ 1] &+= value
            lanes[lane] &+= (keyed & 0xFFFF_FFFF) &* (keyed >> 32)
        }
    }
}

extension Array where Element == UInt8 {
    /// What a store keeps beside a payload to tell whether it was altered: XXH3-64 of its bytes, as the integer that a
    /// database takes.
    package var payloadChecksum: Int64 { Int64(bitPattern: XXH3.hash64(self)) }
}

extension UnsafeRawBufferPointer {
    /// The same of bytes where they lie.
    package var payloadChecksum: Int64 { Int64(bitPattern: XXH3.hash64(self)) }
}
