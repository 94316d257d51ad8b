// Accumulators to 8-bit codes, one a clock, four clocks later:
//
//   single   code = half_up(accumulator * multiplier / 2^shift)
//   double   code = half_away(half_up(accumulator * multiplier / 2^31) / 2^(shift - 31)); shift <= 31: as single
//
// then the zero point is added and the code saturated between qmin and qmax. shift: 1 to 62.
module requantizer (
    input  wire               clk,
    input  wire signed [31:0] accumulator,
    input  wire        [30:0] multiplier,
    input  wire        [5:0]  shift,
    input  wire               double_rounding,
    input  wire signed [8:0]  zero_point,
    input  wire signed [8:0]  qmin,
    input  wire signed [8:0]  qmax,
    output reg         [7:0]  code
);
    wire       twice        = double_rounding && shift > 6'd31;
    wire [5:0] first_shift  = twice ? 6'd31 : shift;
    wire [5:0] second_shift = shift - 6'd31;

    reg signed [63:0] product, first, second;

    wire signed [63:0] first_half  = 64'sd1 <<< (first_shift - 6'd1);
    wire signed [63:0] second_half = 64'sd1 <<< (second_shift - 6'd1);
`ifdef BROKEN
    // what an adder and a shifter alone do: ties go up
    wire signed [63:0] nudge = second_half;
`else
    // below zero one less than a half, so that ties go away from zero
    wire signed [63:0] nudge = second_half - {63'd0, first[63]};
`endif

    wire signed [63:0] placed = second + {{55{zero_point[8]}}, zero_point};
    wire signed [63:0] low    = {{55{qmin[8]}}, qmin};
    wire signed [63:0] high   = {{55{qmax[8]}}, qmax};

    always @(posedge clk) begin
        product <= accumulator * $signed({33'd0, multiplier});
        first   <= (product + first_half) >>> first_shift;
        second  <= twice ? (first + nudge) >>> second_shift : first;
        code    <= placed < low ? qmin[7:0] : placed > high ? qmax[7:0] : placed[7:0];
    end
endmodule
