// Runs a case of gemm.forward through mac_array, tile by tile: reads in_*.mem of +given, writes mid_acc.mem and
// out_y.mem into +answers. The numbers of the case (m, k, n, zero points, ...) are plusargs too.
module tb_mac_array;
    parameter ROWS = 8, COLUMNS = 8;
    localparam SIZE = 1 << 17;  // elements of the largest tensor

`include "bench.vh"

    integer m, k, n, with_bias, requantized, per_channel, qmin, qmax, a_signed, b_signed, double_rounding;
    integer a_bits, b_bits, y_bits, a_zero_point, b_zero_point, zero_point;

    reg [7:0]  a_memory [0:SIZE-1], b_memory [0:SIZE-1], y_memory [0:SIZE-1], shift_memory [0:SIZE-1];
    reg [31:0] bias_memory [0:SIZE-1], multiplier_memory [0:SIZE-1], acc_memory [0:SIZE-1];

    reg start = 0, in_valid = 0;
    reg [8*ROWS-1:0]     a;
    reg [8*COLUMNS-1:0]  b;
    reg [32*COLUMNS-1:0] bias;
    reg [31*COLUMNS-1:0] multiplier;
    reg [6*COLUMNS-1:0]  shift;
    wire in_ready, accumulators_valid, codes_valid;
    wire [32*COLUMNS-1:0] accumulators;
    wire [8*COLUMNS-1:0]  codes;

    mac_array #(.ROWS(ROWS), .COLUMNS(COLUMNS)) dut (
        .clk(clk), .reset(reset), .start(start), .terms(k[15:0]), .a_signed(a_signed[0]), .b_signed(b_signed[0]),
        .a_zero_point(a_zero_point[8:0]), .b_zero_point(b_zero_point[8:0]), .bias(bias), .multiplier(multiplier),
        .shift(shift), .double_rounding(double_rounding[0]), .zero_point(zero_point[8:0]), .qmin(qmin[8:0]),
        .qmax(qmax[8:0]), .in_ready(in_ready), .in_valid(in_valid), .a(a), .b(b),
        .accumulators_valid(accumulators_valid), .accumulators(accumulators), .codes_valid(codes_valid), .codes(codes));

    // The tile that is computed, and how many of its rows have left: the lowest is first.
    integer top, left_side, rows_of_acc, rows_of_codes, c;

    always @(posedge clk) begin
        if (accumulators_valid) begin
            for (c = 0; c < COLUMNS; c = c + 1)
                if (in_result(ROWS - 1 - rows_of_acc, c))
                    acc_memory[place(ROWS - 1 - rows_of_acc, c)] <= accumulators[32*c +: 32];
            rows_of_acc <= rows_of_acc + 1;
        end
        if (codes_valid) begin
            for (c = 0; c < COLUMNS; c = c + 1)
                if (in_result(ROWS - 1 - rows_of_codes, c))
                    y_memory[place(ROWS - 1 - rows_of_codes, c)] <= codes[8*c +: 8];
            rows_of_codes <= rows_of_codes + 1;
        end
    end

    function in_result(input integer row, input integer column);
        in_result = top + row < m && left_side + column < n;
    endfunction

    function integer place(input integer row, input integer column);
        place = (top + row) * n + left_side + column;
    endfunction

    // a code of fewer bits in a byte
    function [7:0] extended(input [7:0] code, input integer bits, input integer is_signed);
        extended = code << (8 - bits);
        if (is_signed != 0) extended = $signed(extended) >>> (8 - bits);
        else extended = extended >> (8 - bits);
    endfunction

    task set_columns;
        integer column, channel;
        for (column = 0; column < COLUMNS; column = column + 1) begin
            channel = in_result(0, column) ? left_side + column : 0;
            bias[32*column +: 32] = with_bias != 0 ? bias_memory[channel] : 0;
            if (per_channel == 0) channel = 0;
            multiplier[31*column +: 31] = requantized != 0 ? multiplier_memory[channel][30:0] : 0;
            shift[6*column +: 6] = requantized != 0 ? shift_memory[channel][5:0] : 1;
        end
    endtask

    task set_term(input integer term);
        integer row, column;
        // beyond the matrix: whatever the memory holds there, as no result comes of it
        for (row = 0; row < ROWS; row = row + 1)
            a[8*row +: 8] = extended(a_memory[in_result(row, 0) ? (top + row) * k + term : 0], a_bits, a_signed);
        for (column = 0; column < COLUMNS; column = column + 1)
            b[8*column +: 8] = extended(b_memory[in_result(0, column) ? term * n + left_side + column : 0], b_bits,
                                        b_signed);
    endtask

    task run_tile;
        integer term;
        set_columns;
        rows_of_acc = 0;
        rows_of_codes = 0;
        start = 1;
        @(negedge clk) start = 0;
        for (term = 0; term < k; term = term + 1) begin
            set_term(term);
            in_valid = 1;
            while (!in_ready) @(negedge clk);
            @(negedge clk);
        end
        in_valid = 0;
        while (rows_of_codes < ROWS) @(negedge clk);
    endtask

    integer index, file;
    initial begin
        find_directories;
        m               = plusarg("m");
        k               = plusarg("k");
        n               = plusarg("n");
        with_bias       = plusarg("with_bias");
        requantized     = plusarg("requantized");
        per_channel     = plusarg("per_channel");
        double_rounding = plusarg("double_rounding");
        a_bits          = plusarg("a_bits");
        b_bits          = plusarg("b_bits");
        y_bits          = plusarg("y_bits");
        a_signed        = plusarg("a_signed");
        b_signed        = plusarg("b_signed");
        a_zero_point    = plusarg("a_zero_point");
        b_zero_point    = plusarg("b_zero_point");
        zero_point      = plusarg("zero_point");
        qmin            = plusarg("qmin");
        qmax            = plusarg("qmax");
        $readmemh({given, "/in_a.mem"}, a_memory, 0, m * k - 1);
        $readmemh({given, "/in_b.mem"}, b_memory, 0, k * n - 1);
        if (with_bias != 0) $readmemh({given, "/in_bias.mem"}, bias_memory, 0, n - 1);
        if (requantized != 0) begin
            $readmemh({given, "/in_multiplier.mem"}, multiplier_memory, 0, per_channel != 0 ? n - 1 : 0);
            $readmemh({given, "/in_shift.mem"}, shift_memory, 0, per_channel != 0 ? n - 1 : 0);
        end
        top = 0;
        left_side = 0;
        repeat (ROWS + COLUMNS) @(negedge clk);
        reset = 0;
        for (top = 0; top < m; top = top + ROWS)
            for (left_side = 0; left_side < n; left_side = left_side + COLUMNS) run_tile;

        file = opened(requantized != 0 ? "mid_acc" : "out_y");
        for (index = 0; index < m * n; index = index + 1) put(file, 64'(acc_memory[index]), 32);
        $fclose(file);
        if (requantized != 0) begin
            file = opened("out_y");
            for (index = 0; index < m * n; index = index + 1) put(file, 64'(y_memory[index]), y_bits);
            $fclose(file);
        end
        $finish;
    end
endmodule
