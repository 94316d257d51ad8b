// An 8-bit multiply-accumulate array: a tile of requantize((a - za) @ (b - zb) + bias), output stationary, systolic.
//
//   start    every cell's accumulator takes its column's bias, and the array counts `terms` terms
//   terms    while in_ready: a column of a (ROWS codes) and a row of b (COLUMNS codes) a clock, when in_valid. Row i of
//            a is delayed i clocks, column j of b j clocks, so that a[i][k] meets b[k][j] in cell (i, j)
//   settle   the last terms reach the last cell
//   drain    accumulators move down and leave, the lowest row first: `accumulators` is a row while accumulators_valid,
//            `codes` the same row four clocks later, while codes_valid
//
// Codes of a and b are signed or unsigned, and their zero points are codes of the same kind. The settings (zero points,
// scales, qmin, qmax, terms: 1 or more) hold still from start until the last codes have left. While reset is held zeros
// flow in: ROWS + COLUMNS clocks of it empty the array.
module mac_array #(
    parameter ROWS    = 8,
    parameter COLUMNS = 8
) (
    input  wire                  clk,
    input  wire                  reset,
    input  wire                  start,
    input  wire [15:0]           terms,
    input  wire                  a_signed,
    input  wire                  b_signed,
    input  wire signed [8:0]     a_zero_point,
    input  wire signed [8:0]     b_zero_point,
    input  wire [32*COLUMNS-1:0] bias,
    input  wire [31*COLUMNS-1:0] multiplier,
    input  wire [6*COLUMNS-1:0]  shift,
    input  wire                  double_rounding,
    input  wire signed [8:0]     zero_point,
    input  wire signed [8:0]     qmin,
    input  wire signed [8:0]     qmax,
    output wire                  in_ready,
    input  wire                  in_valid,
    input  wire [8*ROWS-1:0]     a,
    input  wire [8*COLUMNS-1:0]  b,
    output wire                  accumulators_valid,
    output wire [32*COLUMNS-1:0] accumulators,
    output wire                  codes_valid,
    output wire [8*COLUMNS-1:0]  codes
);
    localparam [1:0] IDLE = 2'd0, TERMS = 2'd1, SETTLE = 2'd2, DRAIN = 2'd3;
    /* verilator lint_off WIDTH */ // a parameter has 32 bits; the array is smaller than 2^15 x 2^15
    localparam [15:0] SETTLING = ROWS + COLUMNS - 1, DRAINING = ROWS;
    /* verilator lint_on WIDTH */

    reg [1:0]  state;
    reg [15:0] left;   // clocks, or terms, until the next state
    reg [3:0]  leaving; // a row of codes is in the requantizers' stage 0 to 3

    wire load  = state == IDLE && start;
    wire taken = in_ready && in_valid;
    wire drain = state == DRAIN;

    assign in_ready           = state == TERMS;
    assign accumulators_valid = drain;
    assign codes_valid        = leaving[3];

    always @(posedge clk) begin
        leaving <= reset ? 4'd0 : {leaving[2:0], drain};
        if (reset) state <= IDLE;
        else case (state)
            IDLE: if (start) begin
                state <= TERMS;
                left  <= terms;
            end
            TERMS: if (taken) begin
                left <= left - 16'd1;
                if (left == 16'd1) begin
                    state <= SETTLE;
                    left  <= SETTLING;
                end
            end
            SETTLE: begin
                left <= left - 16'd1;
                if (left == 16'd1) begin
                    state <= DRAIN;
                    left  <= DRAINING;
                end
            end
            DRAIN: begin
                left <= left - 16'd1;
                if (left == 16'd1) state <= IDLE;
            end
        endcase
    end

    // Between the cells: wire (i, j) of a enters cell (i, j) from the left, of b and of accumulators from above.
    wire signed [8:0]  across [0:ROWS*(COLUMNS+1)-1];
    wire signed [8:0]  down   [0:(ROWS+1)*COLUMNS-1];
    wire signed [31:0] above  [0:(ROWS+1)*COLUMNS-1];

    genvar i, j;
    generate
        for (i = 0; i < ROWS; i = i + 1) begin : left_edge
            wire signed [8:0] code = {a_signed & a[8*i+7], a[8*i +: 8]};
            skew #(.CLOCKS(i)) skew (
                .clk(clk), .in(taken ? code - a_zero_point : 9'sd0), .out(across[i*(COLUMNS+1)]));
        end
        for (j = 0; j < COLUMNS; j = j + 1) begin : top_edge
            wire signed [8:0] code = {b_signed & b[8*j+7], b[8*j +: 8]};
            skew #(.CLOCKS(j)) skew (.clk(clk), .in(taken ? code - b_zero_point : 9'sd0), .out(down[j]));
            assign above[j] = 32'sd0;
        end
        for (i = 0; i < ROWS; i = i + 1) begin : row
            for (j = 0; j < COLUMNS; j = j + 1) begin : column
                mac_cell cell_ij (
                    .clk(clk), .load(load), .drain(drain),
                    .a(across[i*(COLUMNS+1)+j]), .a_right(across[i*(COLUMNS+1)+j+1]),
                    .b(down[i*COLUMNS+j]), .b_down(down[(i+1)*COLUMNS+j]),
                    .first(bias[32*j +: 32]), .above(above[i*COLUMNS+j]), .accumulator(above[(i+1)*COLUMNS+j]));
            end
        end
        for (j = 0; j < COLUMNS; j = j + 1) begin : bottom_edge
            assign accumulators[32*j +: 32] = above[ROWS*COLUMNS+j];
            requantizer requantizer (
                .clk(clk), .accumulator(above[ROWS*COLUMNS+j]), .multiplier(multiplier[31*j +: 31]),
                .shift(shift[6*j +: 6]), .double_rounding(double_rounding), .zero_point(zero_point),
                .qmin(qmin), .qmax(qmax), .code(codes[8*j +: 8]));
        end
    endgenerate
endmodule
