// The quantizer of a range, by one divider that finds a bit a clock:
//
//   low = min(range_min, 0), high = max(range_max, 0); size = high - low, or 1 where that is 0; top = 2^bits - 1
//   multiplier / 2^shift = top * 2^fraction_bits / size       31 significant bits, ties away from zero; shift up to 62
//   zero_point           = -low * top / size                  ties away from zero
//
// Both quotients are rounded by their first bit that is left out: nothing here is negative. The answers change when
// busy falls, some 100 clocks after start, and hold until it falls again.
module affine (
    input  wire               clk,
    input  wire               reset,
    input  wire               start,
    input  wire signed [47:0] range_min,
    input  wire signed [47:0] range_max,
    input  wire        [3:0]  bits,           // 1 to 8
    input  wire        [4:0]  fraction_bits,  // 0 to 16
    output wire               busy,
    output reg         [30:0] multiplier,
    output reg         [5:0]  shift,
    output reg         [7:0]  zero_point
);
    localparam [1:0] IDLE = 2'd0, ALIGN = 2'd1, DIVIDE = 2'd2, ROUND = 2'd3;

    wire [47:0] below = range_min[47] ? -range_min : 48'd0;
    wire [47:0] above = range_max[47] ? 48'd0 : range_max;
    wire [47:0] size  = below + above == 48'd0 ? 48'd1 : below + above;
    wire [7:0]  top   = 8'hff >> (4'd8 - bits);

    reg [1:0]  state;
    reg        of_zero_point;  // the second division
    reg [57:0] remainder, divisor;
    reg [30:0] quotient;
    reg [7:0]  exponent;       // the scale is remainder / divisor * 2^(30 - exponent)
    reg [30:0] scale;
    reg [5:0]  left;           // bits that are still to be found

    wire fits = remainder >= divisor;

    assign busy = state != IDLE;

    wire [31:0] rounded = {1'b0, quotient} + {31'd0, fits};  // the remainder is that of the next bit

    always @(posedge clk)
        if (reset) state <= IDLE;
        else case (state)
            IDLE: if (start) begin
                state         <= ALIGN;
                of_zero_point <= 1'b0;
                remainder     <= {50'd0, top} << fraction_bits;
                divisor       <= {10'd0, size};
                exponent      <= 8'd30;
            end
            // until 1 <= remainder / divisor < 2
            ALIGN: if (!fits) begin
                remainder <= remainder << 1;
                exponent  <= exponent + 8'd1;
            end else if (remainder >= divisor << 1) begin
                divisor  <= divisor << 1;
                exponent <= exponent - 8'd1;
            end else begin
                state    <= DIVIDE;
                quotient <= 31'd0;
                left     <= exponent <= 8'd62 ? 6'd31 : 6'd31 - (exponent[5:0] - 6'd62); // fewer bits, no larger shift
            end
            DIVIDE: begin
                quotient  <= {quotient[29:0], fits};
                remainder <= (fits ? remainder - divisor : remainder) << 1;
                left      <= left - 6'd1;
                if (left == 6'd1) state <= ROUND;
            end
            ROUND: if (!of_zero_point) begin
                state         <= DIVIDE;
                of_zero_point <= 1'b1;
                // a multiplier that rounds up to 2^31 is halved
                scale     <= rounded[31] ? 31'h4000_0000 : rounded[30:0];
                exponent  <= exponent > 8'd62 ? 8'd62 : exponent - {7'd0, rounded[31]};
                remainder <= below * top;
                divisor   <= {10'd0, size} << (bits - 4'd1);
                quotient  <= 31'd0;
                left      <= {2'd0, bits};
            end else begin
                state      <= IDLE;
                multiplier <= scale;
                shift      <= exponent[5:0];
                zero_point <= rounded[7:0];
            end
        endcase
endmodule
