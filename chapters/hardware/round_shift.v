// value / 2^shift, rounded: an addend below 2^shift, then the floor that an arithmetic shift is.
//
//   half_even  a half less one, and one more where the floor is odd      half_away  a half, one less below zero
//   half_up    a half                                                    floor      nothing
//   stochastic the n random bits r, the most significant just below the binary point
module round_shift #(
    parameter WIDTH = 64
) (
    input  wire signed [WIDTH-1:0] value,
    input  wire        [5:0]       shift,
    input  wire        [2:0]       rounding,
    input  wire        [31:0]      r,
    input  wire        [5:0]       n,
    output wire signed [WIDTH-1:0] rounded
);
    localparam [2:0] HALF_EVEN = 3'd0, HALF_AWAY = 3'd1, HALF_UP = 3'd2, FLOOR = 3'd3;
    localparam [WIDTH-1:0] ONE = 1;

    wire [WIDTH-1:0] wide    = {{WIDTH-32{1'b0}}, r};
    wire [WIDTH-1:0] half    = ONE << shift >> 1;
    wire             odd     = (value >> shift & ONE) != 0;
    wire             exact   = shift == 6'd0;
    // a short r moves up to the binary point; of a long one the top bits matter
    wire [WIDTH-1:0] aligned = n <= shift ? wide << (shift - n) : wide >> (n - shift);

    reg [WIDTH-1:0] addend;
    always @* case (rounding)
        HALF_EVEN: addend = exact ? 0 : half - (odd ? 0 : ONE);
        HALF_AWAY: addend = exact ? 0 : half - (value[WIDTH-1] ? ONE : 0);
        HALF_UP:   addend = half;
        FLOOR:     addend = 0;
        default:   addend = aligned;
    endcase

    assign rounded = (value + $signed(addend)) >>> shift;
endmodule
