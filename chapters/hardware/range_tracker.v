// Ranges known in hindsight: accumulators become codes by the range of the steps before, as they come out, while two
// registers collect the least and the greatest of them for the range of the next step.
//
//   set_range    the range takes new_min, new_max, in 2^-fraction_bits of an accumulator
//   take_seen    the range takes what was seen: in the first step of a training, whose accumulators come twice, after
//                reset with `collect_only`, after begin_step for their codes
//   begin_step   nothing is seen yet; what the range stands for is computed (module affine) while busy
//   acc_valid    an accumulator, when not busy: it is seen; three clocks later its code, while code_valid
//   end_step     range = half_even((range * momentum + seen * 2^fraction_bits * (2^16 - momentum)) / 2^16)
//
// code = saturate(round(acc * multiplier / 2^shift) + zero_point), unsigned, of `bits` bits. Ranges must fit 48 bits.
module range_tracker (
    input  wire               clk,
    input  wire               reset,
    input  wire        [3:0]  bits,           // 1 to 8
    input  wire        [4:0]  fraction_bits,  // 0 to 16
    input  wire        [15:0] momentum,
    input  wire        [2:0]  rounding,       // of codes, as in module round_shift
    input  wire        [5:0]  n,              // random bits in r, where the rounding takes them
    input  wire               set_range,
    input  wire signed [47:0] new_min,
    input  wire signed [47:0] new_max,
    input  wire               take_seen,
    input  wire               begin_step,
    output wire               busy,
    input  wire               collect_only,
    input  wire               acc_valid,
    input  wire signed [31:0] acc,
    input  wire        [31:0] r,
    output wire               code_valid,
    output reg         [7:0]  code,
    input  wire               end_step,
    output reg  signed [31:0] seen_min,
    output reg  signed [31:0] seen_max,
    output reg  signed [47:0] range_min,
    output reg  signed [47:0] range_max,
    output wire        [30:0] multiplier,
    output wire        [5:0]  shift,
    output wire        [7:0]  zero_point
);
    localparam [16:0] WHOLE = 17'h1_0000;

    affine affine (
        .clk(clk), .reset(reset), .start(begin_step), .range_min(range_min), .range_max(range_max), .bits(bits),
        .fraction_bits(fraction_bits), .busy(busy), .multiplier(multiplier), .shift(shift), .zero_point(zero_point));

    // What is seen, and the range.

    wire signed [47:0] fixed_min = {{16{seen_min[31]}}, seen_min} <<< fraction_bits;
    wire signed [47:0] fixed_max = {{16{seen_max[31]}}, seen_max} <<< fraction_bits;

    function signed [63:0] weighted(input signed [47:0] old, input signed [47:0] seen, input [15:0] weight);
        // both products and their sum fit 64 bits, as the weights add up to 2^16
        weighted = old * $signed({48'd0, weight}) + seen * $signed({47'd0, WHOLE - {1'b0, weight}});
    endfunction

`ifdef BROKEN
    localparam [2:0] OF_UPDATE = 3'd3;  // floor: the 16 lowest bits are dropped
`else
    localparam [2:0] OF_UPDATE = 3'd0;  // half_even
`endif
    /* verilator lint_off UNUSEDSIGNAL */ // between two numbers of 48 bits
    wire signed [63:0] next_min, next_max;
    /* verilator lint_on UNUSEDSIGNAL */

    round_shift update_min (.value(weighted(range_min, fixed_min, momentum)), .shift(6'd16), .rounding(OF_UPDATE),
                            .r(32'd0), .n(6'd0), .rounded(next_min));
    round_shift update_max (.value(weighted(range_max, fixed_max, momentum)), .shift(6'd16), .rounding(OF_UPDATE),
                            .r(32'd0), .n(6'd0), .rounded(next_max));

    always @(posedge clk) begin
        if (reset || begin_step) begin
            seen_min <= 32'sh7fff_ffff;
            seen_max <= 32'sh8000_0000;
        end else if (acc_valid) begin
            if (acc < seen_min) seen_min <= acc;
            if (acc > seen_max) seen_max <= acc;
        end
        if (set_range) {range_min, range_max} <= {new_min, new_max};
        if (take_seen) {range_min, range_max} <= {fixed_min, fixed_max};
        if (end_step)  {range_min, range_max} <= {next_min[47:0], next_max[47:0]};
    end

    // Codes: product, rounding, zero point and saturation.

    reg         [2:0]  stages;
    reg  signed [63:0] product, scaled;
    reg         [31:0] r_of_product;
    wire signed [63:0] rounded;
    wire signed [63:0] moved = scaled + {56'd0, zero_point};
    wire        [7:0]  top   = 8'hff >> (4'd8 - bits);

    round_shift round (.value(product), .shift(shift), .rounding(rounding), .r(r_of_product), .n(n), .rounded(rounded));

    assign code_valid = stages[2];

    always @(posedge clk) begin
        stages       <= reset ? 3'd0 : {stages[1:0], acc_valid && !collect_only};
        product      <= acc * $signed({33'd0, multiplier});
        r_of_product <= r;
        scaled       <= rounded;
        code         <= moved < 0 ? 8'd0 : moved > $signed({56'd0, top}) ? top : moved[7:0];
    end
endmodule
